"""The one fold: a task and its next event give the task after it. Everybody uses this.

It never raises: what stands in the log has happened. The compare-and-swap on the task's subject
keeps events that do not fit the state out of the log; the words of an attempt that is not live
would change nothing but `seq`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from . import events, state
from .artifacts import Artifact
from .cleaning.cleaned import removed_after
from .events import Launch, Outcome
from .filing.filed import retagged
from .gangs import dependencies
from .state import Attempt, Task
from .wire import Unknown

FREE = frozenset({events.Cause.DRAINED, events.Cause.GANG})
"""Causes of a loss that take nothing off the budget: nobody's agent is suspected."""

LONGEST_PHASE = 1e9
"""Seconds; whatever stands in the log, a fold must not fail on it."""


def create(seq: int, at: int, by: str, event: events.Enqueued) -> Task:
    """The task that an `enqueued` event at sequence `seq` brings into the world."""
    task = Task(event.task, event.spec, by, at, seq, state.Queued(at))
    if event.spec.after or not task.has_turn:
        return replace(task, state=state.Held(at))
    return task


def fold(task: Task, history: Iterable[tuple[int, int, str, events.Lifecycle | Unknown]]) -> Task:
    """`task` after all of `history`, given as (seq, at, by, event) in the stream's order."""
    for seq, at, by, event in history:
        task = evolve(task, seq, at, by, event)
    return task


def evolve(task: Task, seq: int, at: int, by: str, event: events.Lifecycle | Unknown) -> Task:
    """`task` after one more event."""
    match event:
        case events.Enqueued():
            return task
        case events.Claimed():
            return _claimed(task, seq, at, event)
        case events.Phase():
            return _phase(task, seq, at, event)
        case events.Environment():
            return _environment(task, seq, event)
        case events.Started():
            return _started(task, seq, at, event)
        case events.Finished():
            return _finished(task, seq, at, event)
        case events.Retry():
            return _retry(task, seq, at, event)
        case events.Lost():
            return _lost(task, seq, at, event)
        case events.AbortRequested(reason):
            return replace(task, seq=seq, abort=state.AbortWish(at, by, reason))
        case events.Aborted(reason):
            return replace(task, seq=seq, state=_aborted(at, reason), former=None)
        case events.Requeued(held=held):
            return _requeued(task, seq, at, held)
        case events.Released():
            return _to_its_queue(replace(task, turn=True), seq, at)
        case events.Awaited(others):
            return replace(task, seq=seq, awaited_by=(*task.awaited_by, *others))
        case events.DependenciesEnded(ends):
            return _dependencies_ended(task, seq, at, ends)
        case events.Assembled():
            return _assembled(task, seq, at, event)
        case events.Disbanded():
            return _disbanded(task, seq, at, event)
        case events.Moved():
            return _moved(task, seq, event)
        case events.Dequeued(reason):
            return _dequeued(task, seq, at, reason)
        case events.ArtifactSaved():
            return _saved(task, seq, at, event)
        case events.Cleaned():
            return replace(task, seq=seq, removed=removed_after(task, at, by, event))
        case events.Tagged(add=add, remove=remove):
            return replace(task, seq=seq, retagged=retagged(task.tags, add, remove))
        case events.Archived(reason):
            return _archived(task, seq, at, by, reason)
        case events.Unarchived():
            return replace(task, seq=seq, archived=None)
        case Unknown():
            return replace(task, seq=seq, unknown=task.unknown + 1)


def _claimed(task: Task, seq: int, at: int, event: events.Claimed) -> Task:
    attempt = Attempt(
        number=event.attempt,
        agent=event.agent,
        instance=event.instance,
        slot=event.slot,
        claim=seq,
        hint=event.hint,
        lease=event.lease,
        claimed=at,
        gpus=event.gpus,
        gpu_memory=event.gpu_memory,
        permit=event.permit,
    )
    return replace(task, seq=seq, state=state.Claimed(attempt), archived=None)


def _live(task: Task, number: int) -> Attempt | None:
    """The live attempt if it has that number."""
    attempt = task.live
    return attempt if attempt is not None and attempt.number == number else None


def _with_attempt(task: Task, seq: int, attempt: Attempt) -> Task:
    kind = state.Running if attempt.launch else state.Claimed
    return replace(task, seq=seq, state=kind(attempt))


def _phase(task: Task, seq: int, at: int, event: events.Phase) -> Task:
    attempt = _live(task, event.attempt)
    if attempt is None:
        return replace(task, seq=seq)
    began = at
    before = attempt.phases
    if event.seconds is not None:
        began = at - round(min(max(event.seconds, 0.0), LONGEST_PHASE) * 1e6)
        if before and before[-1].name == event.name and before[-1].seconds is None:
            began, before = before[-1].began, before[:-1]
    record = state.PhaseRecord(
        event.name, began, event.seconds, event.cached, event.detail, event.commit
    )
    return _with_attempt(task, seq, replace(attempt, phases=(*before, record)))


def _environment(task: Task, seq: int, event: events.Environment) -> Task:
    attempt = _live(task, event.attempt)
    if attempt is None:
        return replace(task, seq=seq)
    record = state.EnvironmentRecord(
        event.manager, event.python, event.key, event.packages, event.image
    )
    return _with_attempt(task, seq, replace(attempt, environment=record))


def _saved(task: Task, seq: int, at: int, event: events.ArtifactSaved) -> Task:
    attempt = _live(task, event.attempt)
    if attempt is None:
        return replace(task, seq=seq)
    one = Artifact(event.name, event.digest, event.size, at, event.folder, event.depot)
    others = tuple(other for other in attempt.saved if other.name != one.name)
    return _with_attempt(task, seq, replace(attempt, saved=(*others, one)))


def _started(task: Task, seq: int, at: int, event: events.Started) -> Task:
    attempt = _live(task, event.attempt)
    if attempt is None:
        return replace(task, seq=seq)
    began = at if event.began is None else event.began
    launch = Launch(began, event.pid, event.argv, event.host, event.folder)
    return _with_attempt(task, seq, replace(attempt, launch=launch))


def _end(
    task: Task, event: events.Finished | events.Retry | events.Lost, end: state.End
) -> tuple[Attempt, ...] | None:
    """The past attempts once the live one has ended, or None if the event speaks of another."""
    attempt = _live(task, event.attempt)
    if attempt is None:
        return None
    return (*task.past, replace(attempt, launch=attempt.launch or event.launch, end=end))


def _finished(task: Task, seq: int, at: int, event: events.Finished) -> Task:
    end = state.End(at, event.outcome, event.cause, event.evidence, event.exit_code, event.usage)
    past = _end(task, event, end)
    if past is None:
        return replace(task, seq=seq)
    ended = state.Ended(
        at,
        event.outcome,
        event.attempt,
        event.cause,
        event.evidence,
        event.exit_code,
        event.outputs,
    )
    return replace(task, seq=seq, state=ended, past=past, former=None)


def _retry(task: Task, seq: int, at: int, event: events.Retry) -> Task:
    end = state.End(at, event.outcome, event.cause, event.evidence, event.exit_code, event.usage)
    past = _end(task, event, end)
    if past is None:
        return replace(task, seq=seq)
    queued = state.Queued(at, event.delay, seq)
    return replace(task, seq=seq, state=queued, past=past, failures=task.failures + 1, former=None)


def _lost(task: Task, seq: int, at: int, event: events.Lost) -> Task:
    end = state.End(at, None, event.cause, event.why, None, None)
    past = _end(task, event, end)
    if past is None:
        return replace(task, seq=seq)
    spent = 0 if event.cause in FREE else 1
    queued = state.Queued(at, event.delay, seq if event.delay else 0)
    return replace(task, seq=seq, state=queued, past=past, losses=task.losses + spent, abort=None)


def _assembled(task: Task, seq: int, at: int, event: events.Assembled) -> Task:
    attempt = _live(task, event.attempt)
    if attempt is None:
        return replace(task, seq=seq)
    *before, gather = attempt.phases or [None]
    if gather and gather.seconds is None:
        # The step needs no end of its own, which would keep the command waiting.
        seconds = max(0.0, (at - gather.began) / 1e6)
        done = replace(gather, seconds=seconds, detail=f"{event.address}:{event.port}")
        attempt = replace(attempt, phases=(*before, done))
    assembled = state.Assembly(at, event.address, event.port)
    return _with_attempt(task, seq, replace(attempt, assembled=assembled))


def _disbanded(task: Task, seq: int, at: int, event: events.Disbanded) -> Task:
    task = replace(
        task,
        seq=seq,
        failures=task.failures + (event.spent == "retries"),
        losses=task.losses + (event.spent == "losses"),
    )
    match task.state:
        case state.Claimed(attempt) | state.Running(attempt):
            wish = state.Disband(at, event.evidence, event.outcome, event.again, event.delay)
            return _with_attempt(task, seq, replace(attempt, disband=wish))
        case state.Queued() if event.again:
            return replace(task, state=state.Queued(at, event.delay, seq))
        case state.Ended() if event.again:
            # Its hint follows the event, as that of one that is requeued.
            place = replace(task.place, rank=float(seq + 1), hint=seq + 1)
            queued = state.Queued(at, event.delay, seq)
            return replace(task, state=queued, moved=place, archived=None)
        case state.Queued():
            cause = events.Cause.GANG
            ended = state.Ended(at, event.outcome, 0, cause, event.evidence, None)
            return replace(task, state=ended, former=None)
        case state.Held() | state.Ended():
            return task


def _dependencies_ended(
    task: Task, seq: int, at: int, ends: tuple[events.DependencyEnd, ...]
) -> Task:
    task = replace(task, seq=seq, ends=(*task.ends, *ends))
    if not isinstance(task.state, state.Held):
        return task
    if wrong := dependencies.wrong_end(task):
        cause = events.Cause.DEPENDENCY
        return replace(task, state=state.Ended(at, Outcome.ABORTED, 0, cause, wrong, None))
    return _to_its_queue(task, seq, at)


def _to_its_queue(task: Task, seq: int, at: int) -> Task:
    """A task that was held, if it waits for nothing more."""
    task = replace(task, seq=seq)
    if not isinstance(task.state, state.Held) or dependencies.pending(task) or not task.has_turn:
        return task
    # Its first queue message counts as well as the one that follows: whoever was handed it while
    # the task was held has put it aside.
    return replace(task, state=state.Queued(at), moved=replace(task.place, rank=float(seq + 1)))


def _aborted(at: int, reason: str) -> state.Ended:
    """The end of a task that no attempt ended."""
    return state.Ended(at, Outcome.ABORTED, 0, events.Cause.ABORT, reason, None)


def _requeued(task: Task, seq: int, at: int, held: bool) -> Task:
    """It stands at the end of the queue and priority that it had. Its hint follows the event in
    the same batch, so that its sequence is the next."""
    former = None
    if isinstance(task.state, state.Ended):
        former = state.Former(
            task.state,
            task.failures,
            task.losses,
            task.abort,
            task.place,
            task.archived,
            task.removed,
        )
    place = replace(task.place, rank=float(seq + 1), hint=seq + 1)
    waits: state.State = state.Held(at) if held else state.Queued(at)
    return replace(
        task,
        seq=seq,
        state=waits,
        failures=0,
        losses=0,
        abort=None,
        moved=place,
        former=former,
        archived=None,
        turn=not held if task.spec.array else None,
        # It names its code again, which has to be there.
        removed=tuple(one for one in task.removed if one.what != "code"),
    )


def _moved(task: Task, seq: int, event: events.Moved) -> Task:
    """The hint follows the event in the same batch."""
    rank = float(seq + 1) if event.rank is None else event.rank
    place = state.Place(event.queue, event.priority, rank, seq + 1)
    return replace(task, seq=seq, moved=place)


def _dequeued(task: Task, seq: int, at: int, reason: str) -> Task:
    former = task.former
    if former is None:
        return replace(task, seq=seq, state=_aborted(at, reason))
    return replace(
        task,
        seq=seq,
        state=former.state,
        failures=former.failures,
        losses=former.losses,
        abort=former.abort,
        moved=former.place,
        former=None,
        archived=former.archived,
        removed=former.removed,
    )


def _archived(task: Task, seq: int, at: int, by: str, reason: str) -> Task:
    archived = state.Archival(at, by, reason) if isinstance(task.state, state.Ended) else None
    return replace(task, seq=seq, archived=archived)
