"""What happens to a task, as entries for the log."""

from __future__ import annotations

from . import subjects, wire
from .author import Author
from .events import Again, Envelope
from .fleet.resources import request_of
from .ports import Entry
from .state import Task
from .subjects import Level


def lifecycle_of(task: Task) -> str:
    """The subject of all events of the task, which two writers cannot append to at once."""
    return subjects.lifecycle(task.spec.queue, task.id)


def event_entry(task: Task, envelope: Envelope) -> Entry:
    """The event as the next one of the task; refused if somebody was faster."""
    return Entry(lifecycle_of(task), wire.encode(envelope), envelope.id, expect=task.seq)


def level_of(task: Task, express: bool = False) -> Level:
    """The level on which the task stands, or is to stand again."""
    place = task.place
    return Level(place.queue, place.priority, request_of(task.spec).size, express)


def hint_entry(author: Author, task: Task, level: Level, rank: float | None = None) -> Entry:
    """A new queue message of the task, on this level."""
    again = author.envelope(Again(task.id, task.origin, rank))
    return Entry(subjects.hint(level, task.id), wire.encode(again), again.id)
