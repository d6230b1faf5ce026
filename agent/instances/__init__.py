"""What one run of an agent leaves to the next: which attempts it had, so that their tasks need
not wait for a lease to run out."""
