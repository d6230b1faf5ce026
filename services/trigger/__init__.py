"""Triggers: something is done whenever an event matches."""
