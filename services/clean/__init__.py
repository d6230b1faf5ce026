"""Cleaning: what tasks that have ended left behind goes by rules, each removal by an event."""
