"""Why a task failed, and what one may do about it."""

from __future__ import annotations

from .. import parameters
from ..events import Cause, Outcome
from ..state import Ended, Task
from .values import value_text

MEANINGS = {
    Cause.CODE: "its command ended with an exit status of its own",
    Cause.SIGNAL: "a signal that evq did not send ended it",
    Cause.OOM_HOST: "the kernel ended it for want of memory",
    Cause.SOURCE: "its code could not be put in place",
    Cause.ENVIRONMENT: "its environment could not be built",
    Cause.SPAWN: "its command could not be started",
    Cause.TIME: "it ran longer than it may",
    Cause.ABORT: "somebody asked for its end",
    Cause.LOST_AGENT: "its agent went silent too often",
    Cause.DRAINED: "its agent was stopped",
    Cause.DEPENDENCY: "a task that it awaited ended in another way than it was to",
    Cause.INFRASTRUCTURE: "its agent could not do its part",
    Cause.GANG: "another rank of its gang ended without success",
}
"""Each cause in a sentence."""

_OF_THE_MACHINE = frozenset({Cause.LOST_AGENT, Cause.INFRASTRUCTURE, Cause.DRAINED})
_OF_SET_UP = frozenset({Cause.SOURCE, Cause.ENVIRONMENT})


def failed(task: Task) -> bool:
    """Whether the task ended in a way that asks for an explanation."""
    state = task.state
    return isinstance(state, Ended) and state.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)


def remedies(task: Task) -> list[tuple[str, str]]:
    """Commands that may help, and what for; the most likely first."""
    state, found = task.state, list[tuple[str, str]]()
    if not isinstance(state, Ended) or not failed(task):
        return found
    if state.cause in _OF_THE_MACHINE:
        return [(f"evq retry {task.id}", "run it again; it was not its own fault")]
    if state.cause is Cause.GANG:
        return [
            (f"evq logs {task.id} --rank all", "what all ranks wrote"),
            (f"evq retry {task.id}", "run all ranks again"),
        ]
    if state.cause in _OF_SET_UP:
        found.append((f"evq logs {task.id} --setup", "all that the set-up wrote"))
    if task.spec.keep != 0:
        found.append((f"evq shell {task.id}", "look around in its folder and environment"))
    found.append((f"evq repro {task.id}", "run it here, from its snapshot"))
    found.append((f"evq clone {task.id} {_another(task, state.cause)}", "run it otherwise"))
    return found


def _another(task: Task, cause: Cause | None) -> str:
    """An option of `evq clone` that fits the failure."""
    if cause is Cause.TIME:
        return f"--timeout {2 * (task.spec.timeout or 3600):g}s"
    if cause is Cause.ENVIRONMENT:
        return "-r REQUIREMENT"
    values = parameters.values(task.spec)
    name = next((name for name, value in values.items() if value not in (None, True, False)), None)
    return f"--set {name}={value_text(name, values[name])}" if name else "--retries 1"
