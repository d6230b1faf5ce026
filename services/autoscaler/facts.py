"""What an autoscaler writes into its journal, and its state: the fold of that."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec
from msgspec.structs import replace

from ...core.journal import Noted
from .definition import Definition, Kind

Cause = Literal["idle", "surplus", "stopped", "stuck", "lost", "preempted", "stray"]
"""Why a machine ends: it has nothing to do; there are more than are wished; all are to go; its
agent never came; it has gone by itself; its owner took it back; nobody knows what it is for."""


class Defined(msgspec.Struct, frozen=True, tag_field="what", tag="defined"):
    """Somebody wishes this, from now on."""

    definition: Definition


class Stopped(msgspec.Struct, frozen=True, tag_field="what", tag="stopped"):
    """Somebody wants all machines to go, and the autoscaler with them."""


class Left(msgspec.Struct, frozen=True, tag_field="what", tag="left"):
    """Its holder, which ran in a terminal, has ended; machines stay as they are."""


class Wanted(msgspec.Struct, frozen=True, tag_field="what", tag="wanted"):
    """A machine is going to be had. Whoever asks for it under this name twice gets it once."""

    machine: str
    kind: str


class Launched(msgspec.Struct, frozen=True, tag_field="what", tag="launched"):
    """There is one now; `ref` is what its driver calls it."""

    machine: str
    ref: str


class Refused(msgspec.Struct, frozen=True, tag_field="what", tag="refused"):
    """There is none to be had now."""

    machine: str


class Arrived(msgspec.Struct, frozen=True, tag_field="what", tag="arrived"):
    """Its agent is there, for the first time or after it was recalled."""

    machine: str


class Draining(msgspec.Struct, frozen=True, tag_field="what", tag="draining"):
    """Its agent is going to be told to take nothing more."""

    machine: str
    cause: Cause


class Recalled(msgspec.Struct, frozen=True, tag_field="what", tag="recalled"):
    """It was drained and is wanted again: its agent is going to be told to take tasks."""

    machine: str


class Ending(msgspec.Struct, frozen=True, tag_field="what", tag="ending"):
    """It is going to be ended, whatever it does. `kind` and `ref` tell of one nobody wanted."""

    machine: str
    cause: Cause
    kind: str = ""
    ref: str = ""


class Gone(msgspec.Struct, frozen=True, tag_field="what", tag="gone"):
    """Its driver has it no longer."""

    machine: str


Fact = (
    Defined
    | Stopped
    | Left
    | Wanted
    | Launched
    | Refused
    | Arrived
    | Draining
    | Recalled
    | Ending
    | Gone
)


class Stage(Enum):
    """How far a machine has come."""

    WANTED = "wanted"
    LAUNCHED = "launched"
    HERE = "here"
    DRAINING = "draining"
    RECALLED = "recalled"
    ENDING = "ending"


class Machine(msgspec.Struct, frozen=True):
    """A machine that is there, or may be: since `since` it is in its stage, since `born` it costs.
    Times are microseconds since 1970."""

    name: str
    kind: str
    stage: Stage
    since: int
    born: int
    ref: str = ""
    cause: Cause | None = None


class State(msgspec.Struct, frozen=True):
    """An autoscaler, folded from its journal.

    `kinds` are those of the definition, and older ones that still have a machine. `machines` are
    those that may be there, by name; `last` is the number of the last one that was
    wanted. `refusals` has, by kind, how many came one after another and when the last did; `spent`
    is what machines that are gone have cost, `gone` how many there were by cause.
    """

    definition: Definition | None = None
    stopped: bool = False
    kinds: dict[str, Kind] = {}
    machines: dict[str, Machine] = {}
    last: int = 0
    refusals: dict[str, tuple[int, int]] = {}
    spent: float = 0.0
    gone: dict[str, int] = {}
    words: str = ""
    at: int = 0

    def of_kind(self, kind: str) -> list[Machine]:
        """The machines of a kind that are not being ended."""
        return [
            one
            for one in self.machines.values()
            if one.kind == kind and one.stage is not Stage.ENDING
        ]

    def cost(self, now: int) -> float:
        """What all machines have cost up to `now`."""
        alive = sum(cost_of(self, one, now) for one in self.machines.values())
        return self.spent + alive


def cost_of(state: State, machine: Machine, now: int) -> float:
    """What a machine has cost up to `now` (microseconds since 1970)."""
    kind = state.kinds.get(machine.kind)
    if kind is None or machine.stage is Stage.WANTED:
        return 0.0
    return kind.cost * (now - machine.born) / 3600e6


def evolve(state: State, noted: Noted[Fact]) -> State:
    """The state after a fact."""
    state = replace(state, words=noted.words, at=noted.at)
    match noted.fact:
        case Defined(definition):
            used = {one.kind for one in state.machines.values()}
            older = {name: kind for name, kind in state.kinds.items() if name in used}
            kinds = {**older, **definition.kinds}
            return replace(state, definition=definition, stopped=False, kinds=kinds)
        case Stopped():
            return replace(state, stopped=True)
        case Left():
            return state
        case Wanted(name, kind):
            machine = Machine(name, kind, Stage.WANTED, noted.at, noted.at)
            return replace(_with(state, machine), last=state.last + 1)
        case Launched(name, ref):
            return _launched(state, name, ref, noted.at)
        case Refused(name):
            return _refused(state, name, noted.at)
        case Arrived(name):
            return _staged(state, name, Stage.HERE, noted.at)
        case Draining(name, cause):
            return _staged(state, name, Stage.DRAINING, noted.at, cause)
        case Recalled(name):
            return _recalled(state, name, noted.at)
        case Ending(name, cause, kind, ref):
            if name not in state.machines:
                stray = Machine(name, kind, Stage.ENDING, noted.at, noted.at, ref, cause)
                return _with(state, stray)
            return _staged(state, name, Stage.ENDING, noted.at, cause)
        case Gone(name):
            return _gone(state, name, noted.at)


def _with(state: State, machine: Machine) -> State:
    return replace(state, machines={**state.machines, machine.name: machine})


def _staged(state: State, name: str, stage: Stage, at: int, cause: Cause | None = None) -> State:
    machine = state.machines.get(name)
    if machine is None:
        return state
    return _with(state, replace(machine, stage=stage, since=at, cause=cause or machine.cause))


def _launched(state: State, name: str, ref: str, at: int) -> State:
    machine = state.machines.get(name)
    if machine is None:
        return state
    refusals = {kind: one for kind, one in state.refusals.items() if kind != machine.kind}
    launched = replace(machine, stage=Stage.LAUNCHED, since=at, born=at, ref=ref)
    return replace(_with(state, launched), refusals=refusals)


def _recalled(state: State, name: str, at: int) -> State:
    machine = state.machines.get(name)
    if machine is None:
        return state
    return _with(state, replace(machine, stage=Stage.RECALLED, since=at, cause=None))


def _refused(state: State, name: str, at: int) -> State:
    machine = state.machines.get(name)
    if machine is None:
        return state
    count, _ = state.refusals.get(machine.kind, (0, 0))
    refusals = {**state.refusals, machine.kind: (count + 1, at)}
    return replace(_without(state, name), refusals=refusals)


def _gone(state: State, name: str, at: int) -> State:
    machine = state.machines.get(name)
    if machine is None:
        return state
    spent = state.spent + cost_of(state, machine, at)
    cause = machine.cause or "lost"
    gone = {**state.gone, cause: state.gone.get(cause, 0) + 1}
    return replace(_without(state, name), spent=spent, gone=gone)


def _without(state: State, name: str) -> State:
    machines = {other: one for other, one in state.machines.items() if other != name}
    return replace(state, machines=machines)
