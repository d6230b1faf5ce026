"""What screens read of a live fleet: plain frozen structs. Times are microseconds since 1970."""

from __future__ import annotations

import msgspec

from ...events import Outcome
from ...fleet.agent_record import AgentRecord
from ...fleet.presence import AgentPresence
from ...fleet.resources import request_of
from ...fleet.samples import Sample
from ...moments import writable
from ...queueing.permits import Permits
from ...state import Ended, Queued, Task

EVIDENCE = 200
"""Characters of an end's evidence that a light row keeps."""


class LiveTask(msgspec.Struct, frozen=True):
    """A task in one light row; its whole state is `client.get(task.id)`.

    `queue`, `priority` and `rank` are where it stands now, `size` is its class. `attempts` counts
    the attempts there were, `agent` has or had the last one; `claimed` and `started` are of the
    attempt that is live or ended it. `waits_since` and `delay` (seconds) are null unless it is
    queued. `quiet` is since when a task that runs has said and used nothing, if that is for long.
    """

    id: str
    origin: int
    seq: int
    name: str
    queue: str
    priority: int
    rank: float
    size: str
    state: str
    user: str
    host: str
    project: str
    tags: tuple[str, ...]
    gpus: int
    nodes: int
    gang: str | None
    gang_rank: int | None
    attempts: int
    failures: int
    losses: int
    agent: str | None
    waits_since: int | None
    delay: float | None
    enqueued: int
    claimed: int | None
    started: int | None
    ended: int | None
    exit_code: int | None
    cause: str | None
    evidence: str
    abort_reason: str
    quiet: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it will not run again unless somebody asks."""
        return self.ended is not None

    @property
    def since(self) -> int:
        """Since when it is in its state."""
        return self.ended or self.waits_since or self.started or self.claimed or self.enqueued

    @property
    def line_key(self) -> tuple[int, float, str]:
        """What orders it among the others of its queue: who sorts first goes first."""
        return (-self.priority, self.rank, self.id)


def live_task(task: Task) -> LiveTask:
    """The light row of a folded task; `live.sql` makes the same of the projector's."""
    spec, state, attempts = task.spec, task.state, task.attempts
    place, request = task.place, request_of(task.spec)
    last = attempts[-1] if attempts else None
    queued = state if isinstance(state, Queued) else None
    ended = state if isinstance(state, Ended) else None
    current = task.live or (last if ended and ended.attempt else None)
    return LiveTask(
        task.id,
        task.origin,
        task.seq,
        spec.name,
        place.queue,
        place.priority,
        place.rank,
        request.size,
        task.name_of_state,
        spec.user,
        spec.host,
        spec.project,
        task.tags,
        request.gpus,
        spec.nodes,
        spec.gang.id if spec.gang else None,
        spec.gang.rank if spec.gang else None,
        len(attempts),
        task.failures,
        task.losses,
        last.agent if last else None,
        writable(queued.since) if queued else None,
        queued.delay if queued else None,
        writable(task.enqueued),
        writable(current.claimed) if current else None,
        writable(current.launch.at) if current and current.launch else None,
        writable(ended.at) if ended else None,
        ended.exit_code if ended else None,
        ended.cause.value if ended and ended.cause else None,
        ended.evidence[:EVIDENCE] if ended else "",
        _abort_reason(task),
    )


def _abort_reason(task: Task) -> str:
    if task.abort:
        return task.abort.reason
    if isinstance(task.state, Ended) and task.state.outcome is Outcome.ABORTED:
        return task.state.evidence
    return ""


class LiveQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: what was done to it, what is in it, who serves it.

    `held` to `timed_out` count its tasks by state. `next_task` goes first of those that wait, and
    `oldest` is since when the one waits that waits longest. `agents` serve it and are there;
    `slots` are theirs, of those that take tasks. `wait_median` and `hold_median` are the seconds
    that its last hundred tasks waited and were held by an agent, null if there were none.
    """

    name: str
    state: str = "open"
    since: int | None = None
    by: str = ""
    reason: str = ""
    description: str = ""
    fair: bool = False
    held: int = 0
    queued: int = 0
    claimed: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    aborted: int = 0
    timed_out: int = 0
    next_task: str | None = None
    oldest: int | None = None
    agents: tuple[str, ...] = ()
    slots: int = 0
    permits: Permits
    wait_median: float | None = None
    hold_median: float | None = None

    @property
    def busy(self) -> int:
        """How many of its tasks an agent has."""
        return self.claimed + self.running


class LiveAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: what it says of itself while it is there, and what the log has of it.

    `state` is one word: busy, idle, paused, draining, drained or stopping of one that is there;
    else down or lost, or silent if nobody has said so yet. `why` says why it takes nothing.
    `presence` is null unless it is there. `sample` is the last look at its machine, `record` what
    the log has, either null if there is none.
    """

    name: str
    state: str
    why: str = ""
    host: str = ""
    queues: tuple[str, ...] = ()
    slots: int = 0
    busy: int = 0
    since: int | None = None
    presence: AgentPresence | None = None
    sample: Sample | None = None
    record: AgentRecord | None = None

    @property
    def there(self) -> bool:
        """Whether it says that it lives."""
        return self.presence is not None


class LiveEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, in words; `subject` is the task, agent or queue it is about."""

    seq: int
    at: int
    by: str
    kind: str
    subject: str
    text: str
    task: str | None = None
    attempt: int | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed since the version that was asked for, up to `version`.

    If `everything` is set, too much has changed to be told one by one, or all was loaded anew.
    """

    version: int
    tasks: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    everything: bool = False
