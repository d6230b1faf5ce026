"""Tunnels: a port of a running task as a port of this machine, over the NATS server alone."""
