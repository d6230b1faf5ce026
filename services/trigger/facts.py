"""What is decided about a trigger, by people and by its controller, and what follows from it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...core.journal import Noted
from ...core.spec import Spec
from .conditions import Condition, Crossing

REMEMBERED = 5000
"""How many tasks a trigger on a metric knows to have crossed its line."""


class Enqueue(msgspec.Struct, frozen=True, tag_field="do", tag="enqueue", omit_defaults=True):
    """Enqueue this task, or an `array` of it as `evq enqueue --array` has it; exactly once, by its
    key."""

    spec: Spec
    array: str = ""


class Webhook(msgspec.Struct, frozen=True, tag_field="do", tag="webhook"):
    """Post to this address; at least once, with a key by which a second time can be known. Signed
    with what the secret of this name holds, if there is one."""

    url: str
    secret: str = ""


class Tell(msgspec.Struct, frozen=True, tag_field="do", tag="alert"):
    """Hand a message to these alerts, by name."""

    alerts: tuple[str, ...]


Do = Enqueue | Webhook | Tell


def secret_of(do: Do) -> str:
    """The name of the secret that an action needs; empty if it needs none."""
    return do.secret if isinstance(do, Webhook) else ""


class Defined(msgspec.Struct, frozen=True, tag="defined", kw_only=True):
    """What is done when. `telemetry` is how far telemetry was, for one that waits for metrics."""

    on: Condition
    do: Do
    telemetry: int = 0


class Paused(msgspec.Struct, frozen=True, tag="paused"):
    """Nothing matches until somebody resumes it."""

    reason: str


class Resumed(msgspec.Struct, frozen=True, tag="resumed"):
    """What happened meanwhile does not match. `telemetry` as in `Defined`."""

    reason: str
    telemetry: int = 0


class Removed(msgspec.Struct, frozen=True, tag="removed"):
    """There is no such trigger any more."""

    reason: str


class Matched(msgspec.Struct, frozen=True, tag="matched", omit_defaults=True, kw_only=True):
    """Something matched, at this sequence of the log, or of telemetry, and is going to be acted on.

    `id` tells it from all other matches. `task` is whom it is about, `words` and `lines` say what
    happened, `at` when.
    """

    id: str
    seq: int
    at: int
    words: str
    task: str = ""
    lines: tuple[str, ...] = ()


class Done(msgspec.Struct, frozen=True, tag="done"):
    """What a match asked for is done. `task` is what was enqueued, if something was: the id of a
    task, or of an array."""

    id: str
    task: str = ""


class GaveUp(msgspec.Struct, frozen=True, tag="gave_up"):
    """What a match asked for cannot be done, and is not tried again."""

    id: str
    why: str


class Read(msgspec.Struct, frozen=True, tag="read"):
    """Nothing matched up to this sequence, so that nobody has to look there again."""

    seq: int


class Shorter(msgspec.Struct, frozen=True, tag="shorter"):
    """The queue that was too long is so no more: it may match again."""


Fact = Defined | Paused | Resumed | Removed | Matched | Done | GaveUp | Read | Shorter


class State(msgspec.Struct, frozen=True):
    """A trigger. All up to `cursor` was looked at; `pending` are matches that are not acted on
    yet. `crossed` are tasks whose metric has crossed the line, `long` says that the queue is too
    long and that it was acted on."""

    definition: Defined | None = None
    cursor: int = 0
    paused: Paused | None = None
    pending: tuple[Matched, ...] = ()
    crossed: tuple[str, ...] = ()
    long: bool = False
    matches: int = 0
    done: int = 0
    gave_up: int = 0
    words: str = ""
    """The last thing that was decided, but for how far it has read."""


def evolve(state: State, noted: Noted[Fact]) -> State:
    """The trigger after one more fact."""
    if not isinstance(noted.fact, Read):
        state = replace(state, words=noted.words)
    match noted.fact:
        case Defined(on=on, telemetry=telemetry) as definition:
            cursor = telemetry if isinstance(on, Crossing) else noted.seq
            return State(definition=definition, cursor=cursor, words=noted.words)
        case Paused() as paused:
            return replace(state, paused=paused)
        case Resumed(telemetry=telemetry):
            metric = state.definition and isinstance(state.definition.on, Crossing)
            cursor = max(state.cursor, telemetry if metric else noted.seq)
            return replace(state, paused=None, cursor=cursor, long=False)
        case Removed():
            return State(words=noted.words)
        case Matched(seq=seq, task=task) as matched:
            return replace(
                state,
                cursor=max(state.cursor, seq),
                pending=(*state.pending, matched),
                crossed=(*state.crossed, task)[-REMEMBERED:] if task else state.crossed,
                long=True,
                matches=state.matches + 1,
            )
        case Done(id):
            return replace(state, pending=_without(state.pending, id), done=state.done + 1)
        case GaveUp(id):
            return replace(state, pending=_without(state.pending, id), gave_up=state.gave_up + 1)
        case Read(seq):
            return replace(state, cursor=max(state.cursor, seq))
        case Shorter():
            return replace(state, long=False)


def _without(pending: tuple[Matched, ...], id: str) -> tuple[Matched, ...]:
    return tuple(one for one in pending if one.id != id)
