"""Verbs that look at tasks: one, many, their logs, what differs."""
