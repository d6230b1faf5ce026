"""What may happen next: a task and a command give one event, or `Rejected`.

Every decision is one event, so that one compare-and-swap on the task's subject makes it or
does not. There is no clock and no randomness here; whoever calls knows both.
"""

from __future__ import annotations

from . import events, state
from .artifacts import MOST_NAMES, saved_event
from .cleaning.decisions import clean
from .commands import Abort as Abort
from .commands import Archive as Archive
from .commands import Assemble as Assemble
from .commands import Await as Await
from .commands import BeginPhase as BeginPhase
from .commands import Claim as Claim
from .commands import Clean as Clean
from .commands import Command as Command
from .commands import DeclareLost as DeclareLost
from .commands import Dequeue as Dequeue
from .commands import Disband as Disband
from .commands import EndDependencies as EndDependencies
from .commands import EndPhase as EndPhase
from .commands import Finish as Finish
from .commands import GiveBack as GiveBack
from .commands import Holder as Holder
from .commands import Move as Move
from .commands import Release as Release
from .commands import Requeue as Requeue
from .commands import SaveArtifact as SaveArtifact
from .commands import Start as Start
from .commands import Tag as Tag
from .commands import TellEnvironment as TellEnvironment
from .commands import Unarchive as Unarchive
from .events import Cause, Launch, Outcome, Usage
from .filing import decisions as filing
from .gangs.dependencies import pending
from .gangs.gather import has_gathered
from .rejections import ClaimLost as ClaimLost
from .rejections import NoPermit as NoPermit
from .rejections import Rejected as Rejected
from .rejections import TooSoon as TooSoon
from .retry import delay_after
from .state import Attempt, Task

RETRIABLE = frozenset({Outcome.FAILED, Outcome.TIMED_OUT})
"""Outcomes after which a task with budget left runs again."""


def decide(task: Task, command: Command) -> events.Lifecycle:
    """The event that `command` leads to. Raises `Rejected`, or `ClaimLost` for a zombie."""
    if task.unknown:
        raise Rejected(
            f"task {task.id} has {task.unknown} events from a newer evq",
            why="this version cannot tell what they mean, so it does not decide",
            fix="upgrade evq on this machine",
        )
    match command:
        case Claim():
            return _claim(task, command)
        case BeginPhase(holder, name):
            return events.Phase(attempt=_held(task, holder).number, name=name)
        case EndPhase(holder, name, seconds, cached, detail, commit):
            return events.Phase(
                attempt=_held(task, holder).number,
                name=name,
                seconds=seconds,
                cached=cached,
                detail=detail,
                commit=commit,
            )
        case TellEnvironment(holder, found):
            return events.Environment(
                attempt=_held(task, holder).number,
                manager=found.manager,
                python=found.python,
                key=found.key,
                packages=found.packages,
                image=found.image,
            )
        case SaveArtifact():
            return _save(task, command)
        case Start():
            return _start(task, command)
        case Finish():
            return _finish(task, command)
        case GiveBack():
            return _give_back(task, command)
        case DeclareLost():
            return _declare_lost(task, command)
        case Abort(reason):
            return _abort(task, reason)
        case Requeue(reason, held):
            return _requeue(task, reason, held)
        case Release():
            return _release(task)
        case Await(by):
            return _await(task, by)
        case EndDependencies(ends):
            return _end_dependencies(task, ends)
        case Assemble(address, port):
            return _assemble(task, address, port)
        case Disband():
            return _disband(task, command)
        case Move():
            return _move(task, command)
        case Dequeue(reason):
            _check_waiting(task)
            return events.Dequeued(reason)
        case Tag() | Archive() | Unarchive():
            return filing.file(task, command)
        case Clean():
            return clean(task, command)


def _claim(task: Task, command: Claim) -> events.Lifecycle:
    match task.state:
        case state.Held():
            raise Rejected(f"task {task.id} waits for other tasks")
        case state.Queued(delay=delay, failure=failure):
            if command.hint < task.place.hint:
                raise Rejected(
                    f"the queue message {command.hint} of task {task.id} is stale",
                    why=f"it was moved: {task.place.hint} leads to it now",
                )
            if delay and command.waited != failure:
                raise TooSoon(f"task {task.id} waits for {delay:g} s after its failure")
            return events.Claimed(
                attempt=len(task.past) + 1,
                agent=command.agent,
                instance=command.instance,
                slot=command.slot,
                hint=command.hint,
                lease=command.lease,
                gpus=command.gpus,
                gpu_memory=command.gpu_memory,
                permit=command.permit,
            )
        case state.Claimed(attempt) | state.Running(attempt):
            raise Rejected(f"task {task.id} is held by agent {attempt.agent}")
        case state.Ended(outcome=outcome):
            raise Rejected(f"task {task.id} has {outcome.value}")


def _held(task: Task, holder: Holder) -> Attempt:
    attempt = task.live
    if attempt and (attempt.instance, attempt.number) == (holder.instance, holder.attempt):
        return attempt
    raise ClaimLost(f"attempt {holder.attempt} of task {task.id} is no longer the live one")


def _save(task: Task, command: SaveArtifact) -> events.Lifecycle:
    attempt = _held(task, command.holder)
    names = {one.name for one in attempt.saved}
    if command.name not in names and len(names) >= MOST_NAMES:
        raise Rejected(
            f"attempt {attempt.number} of task {task.id} has saved {MOST_NAMES} artifacts already",
            fix="save a folder: it is one artifact, however many files are in it",
        )
    return saved_event(attempt.number, command)


def _start(task: Task, command: Start) -> events.Lifecycle:
    attempt = _held(task, command.holder)
    if attempt.launch:
        raise Rejected(f"attempt {attempt.number} of task {task.id} has started already")
    launch = command.launch
    return events.Started(
        attempt=attempt.number,
        pid=launch.pid,
        argv=launch.argv,
        host=launch.host,
        folder=launch.folder,
        began=launch.at,
    )


def _untold(attempt: Attempt, launch: Launch | None) -> Launch | None:
    """What the event of the end has to say of the start: nothing that the log has already."""
    return None if attempt.launch else launch


def _finish(task: Task, command: Finish) -> events.Lifecycle:
    attempt = _held(task, command.holder)
    launch = _untold(attempt, command.launch)
    outcome, cause = command.outcome, command.cause
    disband = _disband_of(task, attempt)
    if disband and (disband.again or outcome is not Outcome.COMPLETED):
        return _disbanded(attempt, disband, command.exit_code, command.usage, launch)
    if task.abort and outcome is not Outcome.COMPLETED:
        outcome, cause = Outcome.ABORTED, Cause.ABORT
    if outcome in RETRIABLE and cause is Cause.INFRASTRUCTURE:
        if task.losses < task.spec.losses:
            return events.Lost(
                attempt=attempt.number, cause=cause, why=command.evidence, launch=launch
            )
    elif outcome in RETRIABLE and not command.final and task.failures < task.spec.retries:
        return events.Retry(
            attempt=attempt.number,
            outcome=outcome,
            delay=delay_after(task.failures + 1),
            exit_code=command.exit_code,
            cause=cause,
            evidence=command.evidence,
            usage=command.usage,
            launch=launch,
        )
    evidence = command.evidence
    if outcome is Outcome.ABORTED and task.abort:
        evidence = task.abort.reason
    return events.Finished(
        attempt=attempt.number,
        outcome=outcome,
        exit_code=command.exit_code,
        cause=cause,
        evidence=evidence,
        usage=command.usage,
        launch=launch,
        outputs=command.outputs,
    )


def _give_back(task: Task, command: GiveBack) -> events.Lifecycle:
    attempt = _held(task, command.holder)
    if disband := _disband_of(task, attempt):
        return _disbanded(attempt, disband)
    if task.abort:
        return _abort_ended(attempt, task.abort, command.why)
    if command.cause is Cause.GANG and attempt.assembled:
        raise Rejected(f"the gang of task {task.id} is there: it starts")
    return events.Lost(
        attempt=attempt.number, cause=command.cause, why=command.why, delay=command.delay
    )


def _disband_of(task: Task, attempt: Attempt) -> state.Disband | None:
    """How the attempt ends because its gang broke. What is to be aborted does not run again."""
    disband = attempt.disband
    return None if disband and disband.again and task.abort else disband


def _disbanded(
    attempt: Attempt,
    disband: state.Disband,
    exit_code: int | None = None,
    usage: Usage | None = None,
    launch: Launch | None = None,
) -> events.Lifecycle:
    """The end of an attempt whose gang broke; the budget for it was taken when it did."""
    if disband.again:
        return events.Lost(
            attempt=attempt.number,
            cause=Cause.GANG,
            why=disband.evidence,
            launch=launch,
            delay=disband.delay,
        )
    return events.Finished(
        attempt=attempt.number,
        outcome=disband.outcome,
        exit_code=exit_code,
        cause=Cause.GANG,
        evidence=disband.evidence,
        usage=usage,
        launch=launch,
    )


def _abort_ended(attempt: Attempt, abort: state.AbortWish, why: str) -> events.Lifecycle:
    """Nobody will see the attempt end, but its end was wished: the task must not run again."""
    return events.Finished(
        attempt=attempt.number,
        outcome=Outcome.ABORTED,
        cause=Cause.ABORT,
        evidence=f"{abort.reason}; then {why}",
    )


def _declare_lost(task: Task, command: DeclareLost) -> events.Lifecycle:
    """An attempt that was lost runs again, until the budget says that the task is poison."""
    attempt = task.live
    if attempt is None or attempt.number != command.attempt:
        raise Rejected(f"attempt {command.attempt} of task {task.id} is not live")
    if disband := _disband_of(task, attempt):
        return _disbanded(attempt, disband)
    if task.abort:
        return _abort_ended(attempt, task.abort, command.why)
    if task.losses >= task.spec.losses:
        return events.Finished(
            attempt=attempt.number,
            outcome=Outcome.FAILED,
            cause=Cause.LOST_AGENT,
            evidence=f"lost {task.losses + 1} times, so it may be what ends its agents; "
            + command.why,
        )
    return events.Lost(attempt=attempt.number, cause=Cause.LOST_AGENT, why=command.why)


def _abort(task: Task, reason: str) -> events.Lifecycle:
    match task.state:
        case state.Held() | state.Queued():
            return events.Aborted(reason)
        case state.Claimed() | state.Running():
            if task.abort:
                raise Rejected(f"task {task.id} is being aborted already", why=task.abort.reason)
            return events.AbortRequested(reason)
        case state.Ended(outcome=outcome):
            raise Rejected(f"task {task.id} has ended already", why=f"it {outcome.phrase}")


def _release(task: Task) -> events.Lifecycle:
    if isinstance(task.state, state.Held) and not task.has_turn:
        return events.Released()
    raise Rejected(f"task {task.id} does not wait for its turn")


def _requeue(task: Task, reason: str, held: bool) -> events.Lifecycle:
    match task.state:
        case state.Ended():
            return events.Requeued(reason, held and task.spec.array is not None)
        case state.Held() | state.Queued() | state.Claimed() | state.Running():
            raise Rejected(
                f"task {task.id} has not ended",
                why=f"it is {task.name_of_state}",
                fix=f"evq abort {task.id}, or evq clone {task.id} to run it a second time",
            )


def _await(task: Task, by: tuple[str, ...]) -> events.Lifecycle:
    if isinstance(task.state, state.Ended):
        raise Rejected(f"task {task.id} has ended already", why=f"it {task.state.outcome.phrase}")
    return events.Awaited(by)


def _end_dependencies(task: Task, ends: tuple[events.DependencyEnd, ...]) -> events.Lifecycle:
    """A task that does not wait any more, or not for these, has nothing to hear."""
    awaited = {one.task for one in pending(task)}
    news = tuple(end for end in ends if end.task in awaited)
    if not news or not isinstance(task.state, state.Held):
        raise Rejected(f"task {task.id} does not wait for that")
    return events.DependenciesEnded(news)


def _assemble(task: Task, address: str, port: int) -> events.Lifecycle:
    if not task.live or not has_gathered(task):
        raise Rejected(f"task {task.id} does not wait for its gang")
    return events.Assembled(attempt=task.live.number, address=address, port=port)


def _disband(task: Task, command: Disband) -> events.Lifecycle:
    match task.state:
        case state.Ended(outcome=outcome) if outcome is not Outcome.COMPLETED or not command.again:
            raise Rejected(f"task {task.id} has ended already", why=f"it {outcome.phrase}")
        case state.Held():
            raise Rejected(f"task {task.id} waits for other tasks")
        case state.Queued() | state.Claimed() | state.Running() | state.Ended():
            return events.Disbanded(
                rank=command.rank,
                evidence=command.evidence,
                outcome=command.outcome,
                again=command.again,
                delay=command.delay,
                spent=command.spent,
            )


def _move(task: Task, command: Move) -> events.Lifecycle:
    _check_waiting(task)
    return events.Moved(
        queue=command.queue,
        priority=command.priority,
        rank=command.rank,
        reason=command.reason,
    )


def _check_waiting(task: Task) -> None:
    """Raise `Rejected` unless the task waits in a queue."""
    match task.state:
        case state.Queued():
            return
        case state.Held():
            raise Rejected(
                f"task {task.id} waits for other tasks, and in no queue yet",
                fix=f"evq why {task.id}, or evq abort {task.id}",
            )
        case state.Claimed(attempt) | state.Running(attempt):
            raise Rejected(
                f"task {task.id} does not wait any more",
                why=f"agent {attempt.agent} has it",
                fix=f"evq abort {task.id}",
            )
        case state.Ended(outcome=outcome):
            raise Rejected(
                f"task {task.id} waits in no queue",
                why=f"it {outcome.phrase}",
                fix=f"evq retry {task.id} puts it into its queue again",
            )
