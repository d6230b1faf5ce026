"""Verbs about the installation: the server, the projector, what is stored."""
