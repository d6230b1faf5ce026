"""Verbs that put tasks into queues, and what they share."""
