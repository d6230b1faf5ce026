"""Arrays: many tasks of one spec, told apart by an index."""
