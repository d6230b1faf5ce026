"""Schedules: tasks that are enqueued when they are due."""
