"""A task as its events made it. States carry their data: none can be written without it."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from .artifacts import Artifact
from .cleaning.cleaned import Removal
from .events import Cause, DependencyEnd, Launch, Outcome, Package, Usage
from .notebooks import PHASE
from .spec import Spec


class PhaseRecord(msgspec.Struct, frozen=True):
    """A step of an attempt: `seconds` is null while it goes on.

    `commit` is the commit of a remote that it put in place.
    """

    name: str
    began: int
    seconds: float | None
    cached: bool | None
    detail: str
    commit: str | None = None


class EnvironmentRecord(msgspec.Struct, frozen=True):
    """What an attempt ran in."""

    manager: str
    python: str | None
    key: str | None
    packages: tuple[Package, ...]
    image: str | None = None


class End(msgspec.Struct, frozen=True):
    """How an attempt ended. A lost one has no outcome: nobody saw it end."""

    at: int
    outcome: Outcome | None
    cause: Cause | None
    evidence: str
    exit_code: int | None
    usage: Usage | None


class Assembly(msgspec.Struct, frozen=True):
    """Where rank 0 of a gang whose members started together can be reached."""

    at: int
    address: str
    port: int


class Disband(msgspec.Struct, frozen=True):
    """Another member of the gang ended without success: this attempt must end, too.

    With `again` its task waits for the next attempt then, else it ends with this `outcome`.
    """

    at: int
    evidence: str
    outcome: Outcome
    again: bool
    delay: float


class Attempt(msgspec.Struct, frozen=True):
    """One try by one agent. `claim` is its fencing token, `hint` the message that led to it,
    `gpus` the ids of what it has of its machine's, `permit` the queue of which it holds one;
    `saved` has the last artifact of each name."""

    number: int
    agent: str
    instance: str
    slot: int
    claim: int
    hint: int
    lease: float
    claimed: int
    gpus: tuple[str, ...] = ()
    gpu_memory: int | None = None
    permit: str = ""
    phases: tuple[PhaseRecord, ...] = ()
    environment: EnvironmentRecord | None = None
    launch: Launch | None = None
    end: End | None = None
    assembled: Assembly | None = None
    disband: Disband | None = None
    saved: tuple[Artifact, ...] = ()

    @property
    def commit(self) -> str | None:
        """The commit of a remote that it ran, once it is known."""
        return next((one.commit for one in self.phases if one.commit), None)

    @property
    def notebook(self) -> str:
        """The object with its notebook and the outputs; empty if none ran."""
        return next((one.detail for one in self.phases if one.name == PHASE), "")

    @property
    def seconds(self) -> float | None:
        """How long the command ran, if it started and ended; null while it runs."""
        if self.launch is None or self.end is None:
            return None
        return round((self.end.at - self.launch.at) / 1e6, 3)


class Held(msgspec.Struct, frozen=True, tag="held"):
    """It waits since `since` for other tasks, or for its turn, and stands in no queue."""

    since: int


class Place(msgspec.Struct, frozen=True):
    """Where a task stands: its queue and priority, and its rank there, of which a lower one goes
    first. `hint` is the sequence of the queue message that leads to it; older ones are stale."""

    queue: str
    priority: int
    rank: float
    hint: int


class Queued(msgspec.Struct, frozen=True, tag="queued"):
    """It waits since `since`; after a failure, for `delay` seconds at least, counted from the
    event at sequence `failure`."""

    since: int
    delay: float = 0.0
    failure: int = 0


class Claimed(msgspec.Struct, frozen=True, tag="claimed"):
    """An agent has it and prepares it."""

    attempt: Attempt


class Running(msgspec.Struct, frozen=True, tag="running"):
    """Its command runs."""

    attempt: Attempt


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """It will not run again unless somebody asks. `attempt` is 0 if none ended it; `outputs` are
    what it gave out by name."""

    at: int
    outcome: Outcome
    attempt: int
    cause: Cause | None
    evidence: str
    exit_code: int | None
    outputs: dict[str, Any] = {}


State = Held | Queued | Claimed | Running | Ended


class AbortWish(msgspec.Struct, frozen=True):
    """Somebody wants the running attempt to end."""

    at: int
    by: str
    reason: str


class Archival(msgspec.Struct, frozen=True):
    """Somebody is done with the task: lists leave it out."""

    at: int
    by: str
    reason: str


class Former(msgspec.Struct, frozen=True):
    """What a requeued task was before: it is so again if it is dequeued."""

    state: Ended
    failures: int
    losses: int
    abort: AbortWish | None
    place: Place
    archived: Archival | None = None
    removed: tuple[Removal, ...] = ()


class Task(msgspec.Struct, frozen=True):
    """A task, folded from its events.

    `enqueued` is when, `origin` the sequence of the `enqueued` event, `seq` that of the last
    lifecycle event after it (0 if there is none): what the next one must expect. `past` are the
    attempts that ended; `failures` and `losses` count against the two budgets since the task was
    last enqueued or requeued. `unknown` counts events from a newer version. `moved` is where it
    stands since it was requeued or moved, `former` what a dequeue leads back to. `awaited_by` are
    the tasks that are to hear of its end, `ends` those it has heard of itself. `retagged` are its
    tags if they are not those of the spec any more. `turn` is whether its turn has come in its
    array, if that has changed. `archived` is null unless it is in the archive. `removed` is what
    went of all that it had left behind.
    """

    id: str
    spec: Spec
    by: str
    enqueued: int
    origin: int
    state: State
    seq: int = 0
    past: tuple[Attempt, ...] = ()
    failures: int = 0
    losses: int = 0
    abort: AbortWish | None = None
    unknown: int = 0
    moved: Place | None = None
    former: Former | None = None
    awaited_by: tuple[str, ...] = ()
    ends: tuple[DependencyEnd, ...] = ()
    retagged: tuple[str, ...] | None = None
    archived: Archival | None = None
    turn: bool | None = None
    removed: tuple[Removal, ...] = ()

    @property
    def has_turn(self) -> bool:
        """Whether it may stand in its queue, as far as the others of its array are concerned."""
        if self.turn is not None:
            return self.turn
        array = self.spec.array
        return array is None or array.most is None or array.place < array.most

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it has now."""
        return self.spec.tags if self.retagged is None else self.retagged

    @property
    def place(self) -> Place:
        """Where it stands, or stood when it was last taken. The queue of its *address*, which
        its events are stored under, is `spec.queue` for ever."""
        if self.moved:
            return self.moved
        return Place(self.spec.queue, self.spec.priority, float(self.origin), self.origin)

    @property
    def spec_now(self) -> Spec:
        """The spec with the queue and the priority where it stands, and the tags that it has."""
        place = self.place
        return replace(self.spec, queue=place.queue, priority=place.priority, tags=self.tags)

    @property
    def name_of_state(self) -> str:
        """The state in one word: held, queued, claimed, running, or the outcome."""
        match self.state:
            case Held():
                return "held"
            case Queued():
                return "queued"
            case Claimed():
                return "claimed"
            case Running():
                return "running"
            case Ended(outcome=outcome):
                return outcome.value

    @property
    def ended(self) -> Ended | None:
        """How it ended; null if it has not."""
        return self.state if isinstance(self.state, Ended) else None

    @property
    def live(self) -> Attempt | None:
        """The attempt that an agent has now, if any."""
        match self.state:
            case Claimed(attempt) | Running(attempt):
                return attempt
            case Held() | Queued() | Ended():
                return None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """All attempts, in order."""
        live = self.live
        return (*self.past, live) if live else self.past
