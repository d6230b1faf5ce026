"""Sessions: Jupyter or a terminal on a worker, as an ordinary task with a port."""
