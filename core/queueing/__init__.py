"""Queues: their rules, their order, and what limits them."""
