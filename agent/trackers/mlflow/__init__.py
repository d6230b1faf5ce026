"""Answers the routes that a stock MLflow client needs while it logs, and tells the agent.

It is a process of its own, started by the first client that calls (`door`): what a task sends is
read there, and an agent whose tasks use no MLflow pays one listening socket. It tells the agent
what it heard as the tasks do themselves, in lines on the slot's socket, before it answers: what a
client was answered is not lost.
"""
