"""What is decided about an alert, by people and by its controller, and what follows from it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...core.journal import Noted

REMEMBERED = 1000
"""How many messages an alert knows that it was told already."""


class Defined(msgspec.Struct, frozen=True, tag="defined", omit_defaults=True, kw_only=True):
    """Where messages go: to the address that the secret holds. At most `most` are sent in
    `seconds`; what comes beyond is sent as one. `dashboard` is the address to link to."""

    secret: str
    most: int = 5
    seconds: float = 300.0
    dashboard: str = ""


class Told(msgspec.Struct, frozen=True, tag="told", omit_defaults=True, kw_only=True):
    """A message to be sent. However often one with the same `key` is told, it is sent once.
    `task` is whom it is about."""

    key: str
    title: str
    body: str = ""
    task: str = ""


class Sending(msgspec.Struct, frozen=True, tag="sending"):
    """Messages are going to be sent as one."""

    keys: tuple[str, ...]


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """They were taken."""

    keys: tuple[str, ...]


class Undelivered(msgspec.Struct, frozen=True, tag="undelivered"):
    """They were not taken, and are not tried again."""

    keys: tuple[str, ...]
    why: str


class Removed(msgspec.Struct, frozen=True, tag="removed"):
    """There is no such alert any more."""

    reason: str


Fact = Defined | Told | Sending | Sent | Undelivered | Removed


class State(msgspec.Struct, frozen=True):
    """An alert. `waiting` are messages that were told and not sent, `sending` those on their way,
    `times` when the last ones were sent (microseconds since 1970), `keys` what it was told."""

    definition: Defined | None = None
    waiting: tuple[Told, ...] = ()
    sending: tuple[Told, ...] = ()
    times: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    sent: int = 0
    undelivered: int = 0
    words: str = ""
    """The last thing that was decided."""


def evolve(state: State, noted: Noted[Fact]) -> State:
    """The alert after one more fact."""
    state = replace(state, words=noted.words)
    match noted.fact:
        case Defined() as definition:
            return State(definition=definition, words=noted.words)
        case Told(key=key) as told:
            keys = (*state.keys, key)[-REMEMBERED:]
            return replace(state, waiting=(*state.waiting, told), keys=keys)
        case Sending(keys):
            most = state.definition.most if state.definition else 1
            return replace(
                state,
                waiting=tuple(one for one in state.waiting if one.key not in keys),
                sending=tuple(one for one in state.waiting if one.key in keys),
                times=(*state.times, noted.at)[-most:],
            )
        case Sent(keys):
            return replace(state, sending=(), sent=state.sent + len(keys))
        case Undelivered(keys):
            return replace(state, sending=(), undelivered=state.undelivered + len(keys))
        case Removed():
            return State(words=noted.words)
