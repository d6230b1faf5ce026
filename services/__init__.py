"""What evq does by itself, as ordinary tasks: each service is a fold of its journal."""
