"""The dashboard: a process of its own that asks the projector and follows the log.

It has no database and decides nothing: what it shows comes by `source.Source`, and what a user
does goes through the client, as a verb would do it.
"""
