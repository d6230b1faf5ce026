"""Programs that run tasks by rules: each is a task itself, and stands on evq's public face alone."""
