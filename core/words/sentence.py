"""The state of a task in one sentence."""

from __future__ import annotations

from ..gangs.dependencies import pending
from ..state import Claimed, Ended, Held, Queued, Running, Task
from .phrases import ago, end_text, span


def sentence(task: Task, now: int, word: str = "") -> str:
    """The state in one sentence, as of `now` (microseconds); `word` is how its name is written."""
    state, word = task.state, word or task.name_of_state
    abort = f"; told to end by {task.abort.by}: {task.abort.reason}" if task.abort else ""
    match state:
        case Held(since) if not pending(task):
            most = task.spec.array.most if task.spec.array else None
            return (
                f"{word} for {span((now - since) / 1e6)}, until its turn comes: {most} of its array"
                " at once"
            )
        case Held(since):
            others = (
                "another task has"
                if len(pending(task)) == 1
                else f"{len(pending(task))} tasks have"
            )
            return f"{word} for {span((now - since) / 1e6)}, until {others} ended"
        case Queued(since, delay):
            again = f", runs again at the earliest {span(delay)} after that" if delay else ""
            return f"{word} for {span((now - since) / 1e6)}{again}"
        case Claimed(attempt):
            step = attempt.phases[-1].name if attempt.phases else "nothing yet"
            return f"{word} by {attempt.agent}, which prepares it ({step}){abort}"
        case Running(attempt):
            started = attempt.launch.at if attempt.launch else attempt.claimed
            return f"{word} on {attempt.agent} for {span((now - started) / 1e6)}{abort}"
        case Ended():
            how = end_text(state.exit_code, state.cause)
            because = ": " + ", ".join(filter(None, dict.fromkeys([how, state.evidence])))
            return f"{word} {ago(state.at, now)} ago{because if len(because) > 2 else ''}"


def next_verbs(task: Task) -> tuple[str, ...]:
    """Commands that one may want to give now."""
    match task.state:
        case Held() | Queued():
            verbs: tuple[str, ...] = ("why {}", "abort {}")
        case Claimed() | Running():
            verbs = ("logs {} -f", "abort {}")
        case Ended():
            verbs = ("logs {}", "retry {}", "clone {}")
    return tuple(f"evq {verb.format(task.id)}" for verb in verbs)
