"""What an agent takes next: the one place where queues, machine and waiting tasks meet.

`room` says what fits, `order` whose turn it is, `taker` takes it.
"""
