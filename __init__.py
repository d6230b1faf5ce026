"""evq: the queue and the workers that machine-learning experiments run on."""
