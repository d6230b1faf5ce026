"""Alerts: messages to people, by whatever Apprise can reach."""
