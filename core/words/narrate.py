"""A task's events as short lines: `claimed by gpu-01`, `environment 0.9s (cached)`."""

from __future__ import annotations

from .. import events
from ..arrays.turns import Turns
from ..events import Envelope
from ..queueing.permits import Permits, limit_text
from ..queueing.queues import (
    QueueCreated,
    QueueDeleted,
    QueueDescribed,
    QueuePaused,
    QueueResumed,
    QueueRuled,
    QueueState,
    rules_text,
)
from ..retention import Trimmed
from ..saved_queries import QueryDeleted, QuerySaved
from ..spec import argv_text
from ..units import size_text
from ..wire import Broken, Unknown
from .phrases import end_text, span


def narrate(message: Envelope | Unknown | Broken) -> str:
    """What happened, in a few words. Total: an event of a newer evq is told, too."""
    if isinstance(message, Unknown):
        return f"{message.kind} (from a newer evq)"
    if isinstance(message, Broken):
        return f"damaged: {message.error}"
    return _words(message.event)


def _words(event: events.Event) -> str:
    match event:
        case events.Enqueued(_, spec):
            return f"enqueued on {spec.queue}: {argv_text(spec.entry)}"
        case events.Claimed():
            gpus = f", with {', '.join(event.gpus)}" if event.gpus else ""
            return f"claimed by {event.agent}, attempt {event.attempt}{gpus}"
        case events.Phase():
            return phase_text(event.name, event.seconds, event.cached, event.detail)
        case events.Environment():
            python = f", Python {event.python}" if event.python else ""
            return f"environment by {event.manager}: {len(event.packages)} packages{python}"
        case events.Started():
            return f"started on {event.host}, pid {event.pid}"
        case events.Finished():
            return _end(event.outcome.value, event.exit_code, event.cause, event.evidence)
        case events.Retry():
            words = _end(event.outcome.value, event.exit_code, event.cause, event.evidence)
            return f"{words}; runs again in {span(event.delay)}"
        case events.Lost():
            return f"attempt {event.attempt} lost: {event.why}; waits again"
        case events.AbortRequested(reason):
            return f"abort asked for: {reason}"
        case events.Aborted(reason):
            return f"aborted before it ran: {reason}"
        case events.Requeued(reason):
            return f"put back into its queue: {reason}"
        case events.Released():
            return "its turn has come in its array"
        case events.Assembled():
            return f"its gang is complete, rank 0 is at {event.address}:{event.port}"
        case events.Disbanded():
            return f"its gang ends: {event.evidence}" + ("; all run again" if event.again else "")
        case events.Awaited(by):
            return f"awaited by {', '.join(by)}"
        case events.DependenciesEnded(ends):
            return ", ".join(
                f"task {end.task}, which it awaits, {end.outcome.phrase}" for end in ends
            )
        case events.Moved():
            where = "the end" if event.rank is None else f"rank {event.rank:g}"
            return f"moved to {where} of {event.queue}, priority {event.priority}: {event.reason}"
        case events.Dequeued(reason):
            return f"taken out of its queue: {reason}"
        case events.ArtifactSaved():
            return f"saved {event.name}: {size_text(event.size)}, {event.digest[:12]}"
        case events.Tagged(add=add, remove=remove):
            signed = (*(f"+{tag}" for tag in add), *(f"-{tag}" for tag in remove))
            return f"tagged {' '.join(signed)}"
        case events.Archived(reason):
            return f"archived{because(reason)}"
        case events.Unarchived(reason):
            return f"taken out of the archive{because(reason)}"
        case events.Cleaned():
            size = f" ({size_text(event.size)})" if event.size else ""
            return f"{', '.join(event.what)} removed{size}{because(event.reason)}"
        case events.Decided():
            return f"{event.service} {event.name}: {event.words}"
        case Trimmed():
            return f"the history is trimmed: {event.reason}"
        case Turns():
            return (
                f"{len(event.have)} of {event.most} members of array {event.array} have their turn"
            )
        case Permits():
            return f"{limit_text(event)}: {event.reason}"
        case events.Again(task):
            return f"{task} is in its queue again"
        case events.AgentUp():
            queues = ", ".join(event.queues)
            return f"agent {event.agent} is up on {event.host}: {event.slots} slots for {queues}"
        case events.AgentDraining():
            return f"agent {event.agent} drains: {event.reason}"
        case events.AgentDown():
            return f"agent {event.agent} is down: {event.reason}"
        case events.AgentPaused():
            return f"agent {event.agent} pauses: {event.reason}"
        case events.AgentResumed():
            return f"agent {event.agent} goes on: {event.reason}"
        case events.AgentPruned():
            size = size_text(event.size)
            return f"agent {event.agent} removed {size} from its caches{because(event.reason)}"
        case events.PruneRequested():
            what = f"what is unused for {span(event.older)}"
            return f"agent {event.agent} is to remove {what}{because(event.reason)}"
        case events.AgentLost():
            return f"agent {event.agent} is lost: {event.reason}"
        case QueueCreated():
            return f"queue {event.queue} created: {event.description or event.reason}"
        case QueueDescribed():
            return f"queue {event.queue} is for: {event.description}"
        case QueuePaused():
            return f"queue {event.queue} paused: {event.reason}"
        case QueueResumed():
            return f"queue {event.queue} resumed: {event.reason}"
        case QueueDeleted():
            return f"queue {event.queue} deleted: {event.reason}"
        case QueueRuled(queue=queue, fair=fair):
            rules = rules_text(QueueState(queue, fair=fair)) or "in order of age"
            return f"queue {queue} is shared out {rules}: {event.reason}"
        case QuerySaved():
            return f"query @{event.query} saved" + (f": {event.meaning}" * bool(event.meaning))
        case QueryDeleted():
            return f"query @{event.query} deleted{because(event.reason)}"
        case events.DrainRequested():
            return f"{_drained(event)} to be drained{because(event.reason)}"
        case events.ResumeRequested():
            return f"{_drained(event)} to take tasks again{because(event.reason)}"
        case events.StopRequested():
            when = "now" if event.now else "after its tasks"
            return f"agent {event.agent} is to stop {when}{because(event.reason)}"


def _drained(order: events.DrainRequested | events.ResumeRequested) -> str:
    if not order.gpus:
        return f"agent {order.agent} is"
    if len(order.gpus) == 1:
        return f"a GPU of agent {order.agent} is"
    return f"{len(order.gpus)} GPUs of agent {order.agent} are"


def because(reason: str) -> str:
    """A reason behind what happened, if one was given."""
    return f": {reason}" if reason else ""


def _end(outcome: str, exit_code: int | None, cause: str | None, evidence: str) -> str:
    how = end_text(exit_code, cause)
    words = f"{outcome} ({how})" if how else outcome
    return f"{words}: {evidence}" if evidence and evidence != how else words


def phase_text(name: str, seconds: float | None, cached: bool | None, detail: str) -> str:
    """A step of an attempt: `environment 0.9s (cached) uv.lock`."""
    if seconds is None:
        return f"{name} …"
    words = [name, span(seconds), "(cached)" if cached else "", detail]
    return " ".join(word for word in words if word)
