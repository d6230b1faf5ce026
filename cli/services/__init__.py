"""Verbs of services: each speaks to a service by its journal."""
