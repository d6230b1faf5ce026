"""Tasks that depend on each other: gangs, and what is awaited."""
