"""How many tasks of a queue may run at once: in words, and as a reason to wait."""

from __future__ import annotations

from typing import Any

from ...core.errors import UsageError
from ...core.queueing.permits import Permits
from ...core.queueing.permits import limit_text as limit_text


def whole_or_none(word: str) -> int | None:
    """A number of tasks as it is typed; `none` is no limit. Raises `UsageError`."""
    if word == "none":
        return None
    if not word.isascii() or not word.isdigit():
        raise UsageError(
            f"{word!r} is no number of tasks",
            why="allowed is a whole number, or none",
            fix="evq queue limit NAME 4",
        )
    return int(word)


def limit_command(permits: Permits) -> str:
    """The command that sets these limits."""
    most = "none" if permits.most is None else permits.most
    each = "" if permits.per_user is None else f" --per-user {permits.per_user}"
    return f"evq queue limit {permits.queue} {most}{each}"


def limit_facts(permits: Permits) -> dict[str, Any]:
    """The limits as JSON."""
    return {
        "queue": permits.queue,
        "most": permits.most,
        "per_user": permits.per_user,
        "held": [permit.task for permit in permits.held],
        "reason": permits.reason,
    }
