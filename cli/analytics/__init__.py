"""Verbs that ask the whole history."""
