"""Whether an agent takes tasks: its name, what its administrator asks of it, and when it pauses."""
