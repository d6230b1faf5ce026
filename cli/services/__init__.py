"""Verbs for services: sweeps, pipelines, schedules and the like."""
