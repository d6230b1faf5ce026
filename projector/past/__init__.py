"""Looking back: all views and all named questions as they were at a moment of the log.

On a connection of its own, temporary views stand in front of the tables, by the same names. Whoever
asks there, by whatever view or question, finds what the tables held at that moment. A task that
nothing has happened to since has the row it had then; the others, which are those that were alive
then, are folded again from their events. See docs/decisions/0028.
"""
