"""Facts as rows: pure functions from folded tasks and messages to rows of the tables.

The fields of a row Struct are the columns of its table in `schema.sql`, in the same order. Times
are microseconds since 1970 here and become timestamps on their way into the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from ..core import events, parameters
from ..core.events import Package
from ..core.fleet.resources import request_of
from ..core.moments import writable as time
from ..core.queries import Query
from ..core.queueing.permits import Permits
from ..core.queueing.queues import QueueState
from ..core.spec import argv_text
from ..core.state import Attempt, Ended, Queued, Task

_encoder = msgspec.json.Encoder()
_task_decoder = msgspec.json.Decoder(Task)
_queue_decoder = msgspec.json.Decoder(QueueState)


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `_tasks`; `fold` is the task itself, from which everything else here follows."""

    origin: int
    seq: int
    task: str
    name: str
    queue: str
    priority: int
    rank: float
    size: str
    state: str
    submitter: str
    user: str
    host: str
    tags: tuple[str, ...]
    params: str
    entry: str
    commit: str | None
    branch: str | None
    snapshot: str | None
    key: str | None
    parent: str | None
    retries: int
    timeout: float | None
    project: str
    gpus: int
    gpu_memory: int | None
    nodes: int
    gang: str | None
    gang_rank: int | None
    array_id: str | None
    array_index: int | None
    array_size: int | None
    dependencies: str | None
    attempts: int
    failures: int
    losses: int
    agent: str | None
    claim: int | None
    since: int | None
    delay: float | None
    enqueued: int
    first_claimed: int | None
    claimed: int | None
    started: int | None
    ended: int | None
    exit_code: int | None
    outcome: str | None
    cause: str | None
    evidence: str | None
    abort_reason: str | None
    archived: int | None
    unknown: int
    fold: str


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `_attempts`; `packages` names a set of packages."""

    claim: int
    task: str
    attempt: int
    agent: str
    instance: str
    slot: int
    gpus: tuple[str, ...]
    gpu_memory: int | None
    claimed: int
    started: int | None
    ended: int | None
    outcome: str | None
    cause: str | None
    evidence: str | None
    exit_code: int | None
    pid: int | None
    host: str | None
    folder: str | None
    manager: str | None
    python: str | None
    environment: str | None
    packages: str | None
    wall_seconds: float | None
    cpu_seconds: float | None
    max_rss_bytes: int | None


class PhaseRow(msgspec.Struct, frozen=True):
    """A row of `_phases`."""

    claim: int
    task: str
    attempt: int
    place: int
    name: str
    began: int
    seconds: float | None
    cached: bool | None
    detail: str


class PackageRow(msgspec.Struct, frozen=True):
    """A row of `_packages`."""

    packages: str
    name: str
    version: str


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `_queues`: a queue that somebody did something to, since when it is in its state
    by whose wish, and why. `fold` is the queue itself."""

    queue: str
    state: str
    since: int
    by: str
    reason: str
    description: str
    created: int | None
    fold: str


class PermitsRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `_permits`: what limits a queue, and the tasks that are live under it."""

    queue: str
    most: int | None
    per_user: int | None
    held: tuple[str, ...]
    since: int
    by: str
    reason: str


class SavedQueryRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `_saved_queries`; `document` is the query itself."""

    query: str
    text: str
    meaning: str
    parameters: tuple[str, ...]
    chart: str
    by: str
    saved: int
    document: str


class EventRow(msgspec.Struct, frozen=True):
    """A row of `_events`; `data` is the event's own JSON. One that this version cannot read has in
    `unread` the subject that it stood under: how it counts in a fold depends on that."""

    seq: int
    ts: int
    task: str | None
    kind: str
    by: str
    attempt: int | None
    data: str
    unread: str | None


class DeadLetter(msgspec.Struct, frozen=True):
    """A row of `_dead_letters`: a message that could not be understood, and why."""

    stream: str
    seq: int
    subject: str
    error: str
    payload: bytes
    seen: int


def _time(at: int | None) -> int | None:
    return None if at is None else time(at)


def unfold(fold: str) -> Task:
    """The task in a `fold` column."""
    return _task_decoder.decode(fold)


def task_row(task: Task) -> TaskRow:
    """The row of a task."""
    spec, code, state = task.spec, task.spec.code, task.state
    attempts = task.attempts
    last = attempts[-1] if attempts else None
    queued = state if isinstance(state, Queued) else None
    ended = state if isinstance(state, Ended) else None
    current = task.live or (last if ended and ended.attempt else None)
    return TaskRow(
        origin=task.origin,
        seq=task.seq,
        task=task.id,
        name=spec.name,
        queue=task.place.queue,
        priority=task.place.priority,
        rank=task.place.rank,
        size=request_of(spec).size,
        state=task.name_of_state,
        submitter=task.by,
        user=spec.user,
        host=spec.host,
        tags=task.tags,
        params=_encoder.encode(parameters.values(spec)).decode(),
        entry=argv_text(spec.entry),
        commit=code.commit if code else last.commit if last else None,
        branch=code.branch if code else spec.repo.branch if spec.repo else None,
        snapshot=code.snapshot if code else None,
        key=spec.key,
        parent=spec.parent,
        retries=spec.retries,
        timeout=spec.timeout,
        project=spec.project,
        gpus=request_of(spec).gpus,
        gpu_memory=spec.gpu_memory,
        nodes=spec.nodes,
        gang=spec.gang.id if spec.gang else None,
        gang_rank=spec.gang.rank if spec.gang else None,
        array_id=spec.array.id if spec.array else None,
        array_index=spec.array.index if spec.array else None,
        array_size=spec.array.size if spec.array else None,
        dependencies=_dependencies(task),
        attempts=len(attempts),
        failures=task.failures,
        losses=task.losses,
        agent=last.agent if last else None,
        claim=last.claim if last else None,
        since=time(queued.since) if queued else None,
        delay=queued.delay if queued else None,
        enqueued=time(task.enqueued),
        first_claimed=time(attempts[0].claimed) if attempts else None,
        claimed=time(current.claimed) if current else None,
        started=_time(current.launch.at) if current and current.launch else None,
        ended=time(ended.at) if ended else None,
        exit_code=ended.exit_code if ended else None,
        outcome=ended.outcome.value if ended else None,
        cause=ended.cause.value if ended and ended.cause else None,
        evidence=ended.evidence or None if ended else None,
        abort_reason=_abort_reason(task),
        archived=time(task.archived.at) if task.archived else None,
        unknown=task.unknown,
        fold=_encoder.encode(task).decode(),
    )


def _dependencies(task: Task) -> str | None:
    if not task.spec.after:
        return None
    heard = {end.task: end.outcome for end in task.ends}
    rows = [
        {"awaits": one.task, "on": one.on, "outcome": heard.get(one.task)}
        for one in task.spec.after
    ]
    return _encoder.encode(rows).decode()


def _abort_reason(task: Task) -> str | None:
    if task.abort:
        return task.abort.reason
    state = task.state
    if isinstance(state, Ended) and state.outcome is events.Outcome.ABORTED:
        return state.evidence
    return None


def queue_row(queue: QueueState) -> QueueRow:
    """The row of a queue."""
    last = queue.pause or queue
    return QueueRow(
        queue=queue.name,
        state=queue.name_of_state,
        since=time(last.at),
        by=last.by,
        reason=last.reason,
        description=queue.description,
        created=_time(queue.created),
        fold=_encoder.encode(queue).decode(),
    )


def permits_row(at: int, by: str, event: Permits) -> PermitsRow:
    """The row of a queue's limits."""
    return PermitsRow(
        queue=event.queue,
        most=event.most,
        per_user=event.per_user,
        held=tuple(permit.task for permit in event.held),
        since=time(at),
        by=by,
        reason=event.reason,
    )


def saved_query_row(query: Query) -> SavedQueryRow:
    """The row of a query that a user saved."""
    return SavedQueryRow(
        query=query.name,
        text=query.text,
        meaning=query.meaning,
        parameters=tuple(parameter.name for parameter in query.parameters),
        chart=query.chart,
        by=query.by,
        saved=time(query.at),
        document=_encoder.encode(query).decode(),
    )


def unfold_queue(fold: str) -> QueueState:
    """The queue in a `fold` column."""
    return _queue_decoder.decode(fold)


def attempt_row(task: str, attempt: Attempt) -> AttemptRow:
    """The row of an attempt."""
    launch, end, environment = attempt.launch, attempt.end, attempt.environment
    usage = end.usage if end else None
    return AttemptRow(
        claim=attempt.claim,
        task=task,
        attempt=attempt.number,
        agent=attempt.agent,
        instance=attempt.instance,
        slot=attempt.slot,
        gpus=attempt.gpus,
        gpu_memory=attempt.gpu_memory,
        claimed=time(attempt.claimed),
        started=time(launch.at) if launch else None,
        ended=time(end.at) if end else None,
        outcome=(end.outcome.value if end.outcome else "lost") if end else None,
        cause=end.cause.value if end and end.cause else None,
        evidence=end.evidence or None if end else None,
        exit_code=end.exit_code if end else None,
        pid=launch.pid if launch else None,
        host=launch.host if launch else None,
        folder=launch.folder if launch else None,
        manager=environment.manager if environment else None,
        python=environment.python if environment else None,
        environment=environment.key if environment else None,
        packages=set_name(environment.packages) if environment else None,
        wall_seconds=usage.wall if usage else None,
        cpu_seconds=usage.cpu if usage else None,
        max_rss_bytes=usage.max_rss if usage else None,
    )


def phase_rows(task: str, attempt: Attempt) -> Iterable[PhaseRow]:
    """The rows of an attempt's phases."""
    for place, phase in enumerate(attempt.phases):
        yield PhaseRow(
            attempt.claim,
            task,
            attempt.number,
            place,
            phase.name,
            time(phase.began),
            phase.seconds,
            phase.cached,
            phase.detail,
        )


def package_rows(name: str, packages: Iterable[Package]) -> Iterable[PackageRow]:
    """The rows of the set of packages that has this name."""
    return (PackageRow(name, package.name, package.version) for package in packages)


def set_name(packages: tuple[Package, ...]) -> str | None:
    """The name of a set of packages, made from what is in it; null for none."""
    if not packages:
        return None
    return hashlib.blake2b(_encoder.encode(packages), digest_size=12).hexdigest()
