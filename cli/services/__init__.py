"""Verbs of the services: what runs tasks by rules."""
