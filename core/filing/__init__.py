"""How tasks are filed: the tags they have now, and the archive, where lists leave them out."""
