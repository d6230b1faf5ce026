"""Pipelines: tasks that give to each other what they made, in the order that this says."""
