"""What an alert sends next, and how it reads. No clock: moments are given."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...core.words.phrases import count_of
from .facts import Defined, Sending, State, Told

LONGEST_LIST = 20
"""Messages that a summary names."""

BODY = 3000
"""Characters of a message; chats cut longer ones, or refuse them."""


class Message(msgspec.Struct, frozen=True):
    """What is sent."""

    title: str
    body: str


def decide(state: State, now: int) -> tuple[Sending, str] | None:
    """What is sent next; null if nothing is, now or while what is on its way has not arrived.

    One by one as long as there is room for all of it, then all as one.
    """
    if state.definition is None or state.sending or not state.waiting:
        return None
    room = _room(state, state.definition, now)
    if room <= 0:
        return None
    first = state.waiting[0]
    if len(state.waiting) <= room:
        return Sending((first.key,)), f"sends: {first.title}"
    keys = tuple(one.key for one in state.waiting)
    return Sending(keys), f"sends {count_of(len(keys), 'message')} as one"


def seconds_left(state: State, now: int) -> float | None:
    """Until when what waits has to wait; null if nothing waits."""
    if state.definition is None or not state.waiting:
        return None
    if _room(state, state.definition, now) > 0:
        return 0.0
    period = round(state.definition.seconds * 1e6)
    return max(0.0, (min(_lately(state, state.definition, now)) + period - now) / 1e6)


def _room(state: State, definition: Defined, now: int) -> int:
    return definition.most - len(_lately(state, definition, now))


def _lately(state: State, definition: Defined, now: int) -> list[int]:
    period = round(definition.seconds * 1e6)
    return [at for at in state.times if at > now - period]


def message_of(told: Sequence[Told], dashboard: str) -> Message:
    """One message, or a summary of several."""
    if len(told) == 1:
        [one] = told
        lines = [*filter(None, [one.body]), *_links(one, dashboard)]
        return Message(one.title, "\n".join(lines)[:BODY])
    named = [" ".join([f"- {one.title}", *_links(one, dashboard)]) for one in told[:LONGEST_LIST]]
    rest = len(told) - len(named)
    body = "\n".join([*named, *([f"and {rest} more"] if rest else [])])
    return Message(f"evq: {count_of(len(told), 'message')}", body[:BODY])


def _links(told: Told, dashboard: str) -> list[str]:
    if not told.task:
        return []
    return [f"{dashboard.rstrip('/')}/tasks/{told.task}"] if dashboard else []
