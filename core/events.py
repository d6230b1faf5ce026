"""Every fact that evq stores, as a closed union of tagged Structs.

A lifecycle event belongs to one task and changes its state; `evolve` folds them. An agent event
tells of an agent. A telemetry record is what a task said: many records travel in one message, on
a stream of its own. Times are integers, microseconds since 1970 in UTC, read from the writer's
clock and meant for people: the order is the stream's sequence.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .arrays.turns import Released as Released
from .arrays.turns import Turns
from .artifacts import ArtifactSaved as ArtifactSaved
from .cleaning.cleaned import Cleaned as Cleaned
from .filing.filed import Archived as Archived
from .filing.filed import Filed
from .filing.filed import Tagged as Tagged
from .filing.filed import Unarchived as Unarchived
from .fleet.agents import AgentDown as AgentDown
from .fleet.agents import AgentDraining as AgentDraining
from .fleet.agents import AgentEvent as AgentEvent
from .fleet.agents import AgentLost as AgentLost
from .fleet.agents import AgentNews as AgentNews
from .fleet.agents import AgentOrder as AgentOrder
from .fleet.agents import AgentPaused as AgentPaused
from .fleet.agents import AgentPruned as AgentPruned
from .fleet.agents import AgentResumed as AgentResumed
from .fleet.agents import AgentUp as AgentUp
from .fleet.agents import DrainRequested as DrainRequested
from .fleet.agents import PruneRequested as PruneRequested
from .fleet.agents import ResumeRequested as ResumeRequested
from .fleet.agents import StopRequested as StopRequested
from .journal import Decided as Decided
from .outcomes import Cause as Cause
from .outcomes import Outcome as Outcome
from .queueing.permits import Permits
from .queueing.queues import QueueEvent
from .retention import Trimmed
from .saved_queries import QueryEvent
from .spec import Spec
from .telemetry import Log as Log
from .telemetry import Metric as Metric
from .telemetry import Progress as Progress
from .telemetry import Remarks as Remarks
from .telemetry import Telemetry as Telemetry


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an attempt used: wall and CPU time in seconds, peak memory in bytes."""

    wall: float
    cpu: float = 0.0
    max_rss: int = 0


class Package(msgspec.Struct, frozen=True, array_like=True):
    """One installed distribution."""

    name: str
    version: str


class Launch(msgspec.Struct, frozen=True):
    """The command as it was started, at `at` by its agent's clock."""

    at: int
    pid: int
    argv: tuple[str, ...]
    host: str
    folder: str


# --- lifecycle --------------------------------------------------------------------------------


class Enqueued(msgspec.Struct, frozen=True, tag_field="kind", tag="enqueued"):
    """A user asked for a task. This event is the queue message, too."""

    task: str
    spec: Spec


class Claimed(
    msgspec.Struct, frozen=True, tag_field="kind", tag="claimed", omit_defaults=True, kw_only=True
):
    """An agent took the task. The event's sequence is the fencing token of the attempt.

    `hint` is the sequence of the queue message that led to the claim, `lease` is in seconds.
    `gpus` are the ids of the GPUs that it has until its end; it may share them with others if
    `gpu_memory`, in bytes on each, is not null. `permit` is the limited queue of which it holds
    one, empty if none.
    """

    attempt: int
    agent: str
    instance: str
    slot: int
    hint: int
    lease: float
    gpus: tuple[str, ...] = ()
    gpu_memory: int | None = None
    permit: str = ""


class Phase(
    msgspec.Struct, frozen=True, tag_field="kind", tag="phase", omit_defaults=True, kw_only=True
):
    """A step of the attempt began (`seconds` is null) or ended.

    `cached` says whether a cache spared the work; `detail` what was done, in a few words;
    `commit` which commit of a remote was put in place.
    """

    attempt: int
    name: str
    seconds: float | None = None
    cached: bool | None = None
    detail: str = ""
    commit: str | None = None


class Environment(
    msgspec.Struct,
    frozen=True,
    tag_field="kind",
    tag="environment",
    omit_defaults=True,
    kw_only=True,
):
    """What the attempt's environment is made of."""

    attempt: int
    manager: str
    python: str | None = None
    key: str | None = None
    packages: tuple[Package, ...] = ()
    image: str | None = None


class Started(
    msgspec.Struct, frozen=True, tag_field="kind", tag="started", omit_defaults=True, kw_only=True
):
    """The command runs; since `began`, or since the event's own time where that is missing.

    The event is written when the command has lived for a moment. One that ends sooner is told
    of by the event of its end alone, in the field `launch`.
    """

    attempt: int
    pid: int
    argv: tuple[str, ...]
    host: str
    folder: str
    began: int | None = None


class Finished(
    msgspec.Struct, frozen=True, tag_field="kind", tag="finished", omit_defaults=True, kw_only=True
):
    """The attempt ended, and with it the task.

    `exit_code` is the command's status, or the negative number of the signal that ended it.
    `outputs` are the values that the task gave out by name, each anything that JSON can hold.
    """

    attempt: int
    outcome: Outcome
    exit_code: int | None = None
    cause: Cause | None = None
    evidence: str = ""
    usage: Usage | None = None
    launch: Launch | None = None
    outputs: dict[str, Any] = {}


class Retry(
    msgspec.Struct, frozen=True, tag_field="kind", tag="retry", omit_defaults=True, kw_only=True
):
    """The attempt ended without success; the task waits `delay` seconds and runs again."""

    attempt: int
    outcome: Outcome
    delay: float
    exit_code: int | None = None
    cause: Cause | None = None
    evidence: str = ""
    usage: Usage | None = None
    launch: Launch | None = None


class Lost(
    msgspec.Struct, frozen=True, tag_field="kind", tag="lost", omit_defaults=True, kw_only=True
):
    """Its agent went silent or gave the task back, which waits for `delay` seconds at least."""

    attempt: int
    cause: Cause
    why: str
    launch: Launch | None = None
    delay: float = 0.0


class AbortRequested(msgspec.Struct, frozen=True, tag_field="kind", tag="abort_requested"):
    """Somebody wants the running attempt to end."""

    reason: str


class Aborted(msgspec.Struct, frozen=True, tag_field="kind", tag="aborted"):
    """The task ended while no attempt was running."""

    reason: str


class Requeued(msgspec.Struct, frozen=True, tag_field="kind", tag="requeued", omit_defaults=True):
    """A task that had ended waits again, with fresh budgets; `held` if it is the member of an array
    and its turn has not come."""

    reason: str
    held: bool = False


class Awaited(msgspec.Struct, frozen=True, tag_field="kind", tag="awaited"):
    """Other tasks wait for this task's end; whoever ends it tells them in the same batch."""

    by: tuple[str, ...]


class DependencyEnd(msgspec.Struct, frozen=True, array_like=True):
    """How a task ended that another one awaits."""

    task: str
    outcome: Outcome


class DependenciesEnded(msgspec.Struct, frozen=True, tag_field="kind", tag="dependencies_ended"):
    """Tasks that this one awaits have ended: it goes on waiting, or to its queue, or is aborted."""

    ends: tuple[DependencyEnd, ...]


class Assembled(
    msgspec.Struct, frozen=True, tag_field="kind", tag="assembled", omit_defaults=True, kw_only=True
):
    """All members of a gang are ready at once, and each starts its command now.

    It is written to all of them or to none. `address` and `port` are where rank 0 can be reached.
    """

    attempt: int
    address: str
    port: int


class Disbanded(
    msgspec.Struct, frozen=True, tag_field="kind", tag="disbanded", omit_defaults=True, kw_only=True
):
    """Another member of the gang, the one of this `rank`, ended without success: so must this one.

    It is written to all others together with that end. With `again` all of them run once more,
    after `delay` seconds at the earliest, which takes one off the budget that `spent` names.
    """

    rank: int
    evidence: str
    outcome: Outcome = Outcome.FAILED
    again: bool = False
    delay: float = 0.0
    spent: Literal["retries", "losses"] | None = None


class Moved(
    msgspec.Struct, frozen=True, tag_field="kind", tag="moved", omit_defaults=True, kw_only=True
):
    """A task that waits stands elsewhere now. Without a `rank` it is the last of its priority."""

    queue: str
    priority: int
    rank: float | None = None
    reason: str


class Dequeued(msgspec.Struct, frozen=True, tag_field="kind", tag="dequeued"):
    """A task that waits was taken out of its queue: it is what it was before it was requeued,
    or aborted if it never was."""

    reason: str


Lifecycle = (
    Enqueued
    | Claimed
    | Phase
    | Environment
    | Started
    | Finished
    | Retry
    | Lost
    | AbortRequested
    | Aborted
    | Requeued
    | Released
    | Awaited
    | DependenciesEnded
    | Assembled
    | Disbanded
    | Moved
    | Dequeued
    | ArtifactSaved
    | Cleaned
    | Filed
)


class Again(msgspec.Struct, frozen=True, tag_field="kind", tag="again", omit_defaults=True):
    """The queue message of a requeued or moved task: look at `task`, whose spec stands at
    `origin`. `rank` is its place among the others, if that is not the end.

    It is a hint, not a fact about the task: no fold reads it.
    """

    task: str
    origin: int
    rank: float | None = None


Event = (
    Lifecycle | Again | Turns | AgentEvent | QueueEvent | Permits | Trimmed | QueryEvent | Decided
)


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A fact with what everybody wants to know of it.

    `id` is unique and also the message id on the stream, `at` the writer's clock, `by` who wrote
    it (`user@host`, or an agent's name), `v` the version of this format.
    """

    id: str
    at: int
    by: str
    event: Event
    v: int = 1
