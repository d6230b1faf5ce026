"""`evq top`: the fleet on a terminal, live."""
