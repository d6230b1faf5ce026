"""What is decided about a cleaning, by people and by its controller, and what follows from it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from ...core.journal import Noted
from .policy import Policy


class Defined(msgspec.Struct, frozen=True, tag="defined"):
    """Somebody wants this policy to be carried out every so many seconds."""

    policy: Policy
    every: float


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """Somebody wants it to be carried out now."""

    reason: str


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """Nothing goes any more by this policy, until it is defined again."""

    reason: str


class Began(msgspec.Struct, frozen=True, tag="began"):
    """It is carried out, as of `at` in microseconds since 1970: ages count back from there."""

    number: int
    at: int


class Carried(msgspec.Struct, frozen=True, tag="carried", kw_only=True):
    """The run of this number is over: so many tasks lost something, contents and messages of
    telemetry were removed, and about so many bytes are free."""

    number: int
    tasks: int = 0
    contents: int = 0
    messages: int = 0
    size: int = 0


Fact = Defined | Asked | Stopped | Began | Carried


class State(msgspec.Struct, frozen=True):
    """A cleaning. `running` is the run that has begun and is not over, `seq` where in the log it
    began; `due` is when the next one does, in microseconds since 1970."""

    definition: Defined | None = None
    stopped: str = ""
    running: Began | None = None
    seq: int = 0
    last: Carried | None = None
    runs: int = 0
    due: int = 0
    freed: int = 0
    words: str = ""
    at: int = 0


def evolve(state: State, noted: Noted[Fact]) -> State:
    """The cleaning after one more fact."""
    state = replace(state, words=noted.words, at=noted.at)
    match noted.fact:
        case Defined() as definition:
            return replace(state, definition=definition, stopped="", due=noted.at)
        case Asked():
            return replace(state, due=noted.at)
        case Stopped(reason):
            return replace(state, stopped=reason or "stopped")
        case Began() as began:
            every = state.definition.every if state.definition else 0.0
            due = began.at + round(every * 1e6)
            return replace(state, running=began, seq=noted.seq, runs=began.number, due=due)
        case Carried() as carried:
            return replace(state, running=None, last=carried, freed=state.freed + carried.size)


def begin(state: State, now: int) -> tuple[Fact, str] | None:
    """The next run, if it is due."""
    if state.definition is None or state.stopped or state.running or state.due > now:
        return None
    return Began(state.runs + 1, now), f"run {state.runs + 1} begins"
