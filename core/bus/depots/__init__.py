"""Where the content of artifacts lies: the port `Depot` in four ways."""
