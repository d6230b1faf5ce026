"""What is decided about a schedule, by people and by its controller, and what follows from it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from ...core.journal import Noted
from ...core.spec import Spec
from ..enqueueing import id_text
from .when import When

Overlap = Literal["skip", "queue", "replace", "several"]
"""What happens at a due time while the task of the last one still waits or runs: nothing, the new
one waits for its end, the old one is aborted, or both run."""

CatchUp = Literal["none", "last", "all"]
"""Which due times run after all that passed while nobody looked."""


class Defined(msgspec.Struct, frozen=True, tag="defined", omit_defaults=True, kw_only=True):
    """What is due when. Of missed due times at most `most` run if `catch_up` is `all`. `array` is
    that of `evq enqueue --array`, if each due time enqueues one; empty otherwise."""

    when: When
    spec: Spec
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    most: int = 10
    array: str = ""


class Paused(msgspec.Struct, frozen=True, tag="paused"):
    """Nothing is due until somebody resumes it."""

    reason: str


class Resumed(msgspec.Struct, frozen=True, tag="resumed"):
    """What was due meanwhile is left out: it was not missed but not wanted."""

    reason: str


class Removed(msgspec.Struct, frozen=True, tag="removed"):
    """There is no such schedule any more."""

    reason: str


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """Somebody wants it to run now, whatever its due times are."""

    reason: str


class Due(msgspec.Struct, frozen=True, tag="due", omit_defaults=True):
    """A task is going to be enqueued for this due time; `asked` is the sequence of the wish of
    somebody, 0 if it is a due time of the schedule itself."""

    at: int
    asked: int = 0


class Ran(msgspec.Struct, frozen=True, tag="ran", omit_defaults=True):
    """The task of a due time is in its queue; its id, or that of an `array`."""

    at: int
    task: str
    array: bool = False

    @property
    def text(self) -> str:
        """What was enqueued, for people."""
        return id_text(self.task, self.array)


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The task of a due time cannot be enqueued."""

    at: int
    why: str


class Skipped(msgspec.Struct, frozen=True, tag="skipped"):
    """Due times for which nothing runs: `count` of them, from the first to the last."""

    first: int
    last: int
    count: int


Fact = Defined | Paused | Resumed | Removed | Asked | Due | Ran | Refused | Skipped


class State(msgspec.Struct, frozen=True):
    """A schedule. Every due time until `until` is decided; `pending` is the one whose task is on
    its way, `asked` are wishes for a run now. All times are microseconds since 1970."""

    definition: Defined | None = None
    until: int = 0
    paused: Paused | None = None
    pending: Due | None = None
    asked: tuple[int, ...] = ()
    last: Ran | None = None
    runs: int = 0
    skipped: int = 0
    words: str = ""
    """The last thing that was decided."""


def evolve(state: State, noted: Noted[Fact]) -> State:
    """The schedule after one more fact."""
    state = replace(state, words=noted.words)
    match noted.fact:
        case Defined() as definition:
            return replace(state, definition=definition, until=noted.at, paused=None)
        case Paused() as paused:
            return replace(state, paused=paused)
        case Resumed():
            return replace(state, paused=None, until=max(state.until, noted.at))
        case Removed():
            return State(last=state.last, words=state.words)
        case Asked():
            return replace(state, asked=(*state.asked, noted.seq))
        case Due(at, asked) as due:
            left = tuple(seq for seq in state.asked if seq != asked)
            return replace(
                state, pending=due, asked=left, until=state.until if asked else max(state.until, at)
            )
        case Ran() as ran:
            return replace(state, pending=None, last=ran, runs=state.runs + 1)
        case Refused():
            return replace(state, pending=None)
        case Skipped(last=last, count=count):
            return replace(state, until=max(state.until, last), skipped=state.skipped + count)
