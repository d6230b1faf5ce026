"""Reaching what runs: tunnels to ports of tasks, and sessions on a worker."""
