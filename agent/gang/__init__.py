"""Members of gangs on this agent: whether one is taken, how it waits for the others, and what its
command is told of them."""
