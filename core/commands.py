"""What somebody wants to happen to a task. `decide` makes one event of it, or refuses."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from . import events, state
from .cleaning.cleaned import What
from .events import Cause, Launch, Outcome, Usage


class Claim(msgspec.Struct, frozen=True):
    """An agent wants to run the task.

    `hint` is the sequence of the queue message that led here, `waited` that of the `retry` whose
    delay the agent knows to be over; `gpus` are the ids of those that the agent keeps for it,
    `gpu_memory` is what of each, null for all. `permit` is the queue of which it needs one.
    """

    agent: str
    instance: str
    slot: int
    hint: int
    lease: float
    waited: int = 0
    gpus: tuple[str, ...] = ()
    gpu_memory: int | None = None
    permit: str = ""


class Holder(msgspec.Struct, frozen=True):
    """Who speaks for an attempt; commands from anyone else are refused."""

    instance: str
    attempt: int


class BeginPhase(msgspec.Struct, frozen=True):
    """A step of the attempt begins."""

    holder: Holder
    name: str


class EndPhase(msgspec.Struct, frozen=True):
    """A step of the attempt ended after `seconds`."""

    holder: Holder
    name: str
    seconds: float
    cached: bool | None
    detail: str = ""
    commit: str | None = None


class TellEnvironment(msgspec.Struct, frozen=True):
    """The environment is there."""

    holder: Holder
    environment: state.EnvironmentRecord


class SaveArtifact(msgspec.Struct, frozen=True):
    """The content of an artifact is in its depot, whole."""

    holder: Holder
    name: str
    digest: str
    size: int
    folder: bool
    depot: str


class Start(msgspec.Struct, frozen=True):
    """The command was started."""

    holder: Holder
    launch: Launch


class Finish(msgspec.Struct, frozen=True):
    """The attempt ended; whether the task did is decided here.

    `launch` is for a command that may have been too short for a `Start` of its own. `final`
    says that another attempt would end the same way: no budget is spent on it.
    """

    holder: Holder
    outcome: Outcome
    exit_code: int | None = None
    cause: Cause | None = None
    evidence: str = ""
    usage: Usage | None = None
    launch: Launch | None = None
    final: bool = False
    outputs: dict[str, Any] = {}


class GiveBack(msgspec.Struct, frozen=True):
    """An agent that is being stopped gives the task to the others.

    With the cause `gang` it does so because the other members of its gang are not there; the
    task waits for `delay` seconds then.
    """

    holder: Holder
    why: str
    cause: Cause = Cause.DRAINED
    delay: float = 0.0


class DeclareLost(msgspec.Struct, frozen=True):
    """Somebody saw the attempt's lease run out."""

    attempt: int
    why: str


class Abort(msgspec.Struct, frozen=True):
    """Somebody wants the task to end."""

    reason: str


class Await(msgspec.Struct, frozen=True):
    """Other tasks are to hear of the task's end."""

    by: tuple[str, ...]


class EndDependencies(msgspec.Struct, frozen=True):
    """Tasks that this one may await have ended."""

    ends: tuple[events.DependencyEnd, ...]


class Requeue(msgspec.Struct, frozen=True):
    """Somebody wants a task that ended to run again; `held` until its turn comes in its array."""

    reason: str
    held: bool = False


class Release(msgspec.Struct, frozen=True):
    """The turn of a member of an array has come."""


class Assemble(msgspec.Struct, frozen=True):
    """Rank 0's agent sees all members of the gang gathered: they start now, or it is refused."""

    address: str
    port: int


class Disband(msgspec.Struct, frozen=True):
    """The member of the gang of this rank ended, so that this one must end, too; see `gang`."""

    rank: int
    evidence: str
    outcome: Outcome
    again: bool
    delay: float
    spent: Literal["retries", "losses"] | None


class Move(msgspec.Struct, frozen=True):
    """Somebody wants a task that waits to stand elsewhere; without a `rank`, at the end."""

    queue: str
    priority: int
    rank: float | None
    reason: str


class Dequeue(msgspec.Struct, frozen=True):
    """Somebody wants a task that waits to be what it was before it waited."""

    reason: str


class Tag(msgspec.Struct, frozen=True):
    """Somebody wants the task to have other tags."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Archive(msgspec.Struct, frozen=True):
    """Somebody wants lists to leave out a task that has ended."""

    reason: str


class Unarchive(msgspec.Struct, frozen=True):
    """Somebody wants an archived task to be in the lists again."""

    reason: str


class Clean(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody wants something to go of what a task left that ended before `before`, in
    microseconds since 1970; the rest is as in `Cleaned`."""

    what: tuple[What, ...]
    reason: str
    before: int
    telemetry: int = 0
    size: int = 0


Command = (
    Claim
    | BeginPhase
    | EndPhase
    | TellEnvironment
    | SaveArtifact
    | Start
    | Finish
    | GiveBack
    | DeclareLost
    | Abort
    | Requeue
    | Release
    | Await
    | EndDependencies
    | Assemble
    | Disband
    | Move
    | Dequeue
    | Tag
    | Archive
    | Unarchive
    | Clean
)
