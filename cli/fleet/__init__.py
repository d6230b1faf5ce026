"""Verbs about queues, agents and GPUs, and why a task waits."""
