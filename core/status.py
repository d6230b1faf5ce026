"""What a shell would say of the end of a task."""

from __future__ import annotations

from .events import Outcome

TIMED_OUT = 124
ABORTED = 143


def exit_status(outcome: Outcome, exit_code: int | None) -> int:
    """The command's own status, 128 + signal, 124 if it ran out of time, 143 if it was aborted,
    1 if it failed before it ran."""
    match outcome:
        case Outcome.COMPLETED:
            return 0
        case Outcome.TIMED_OUT:
            return TIMED_OUT
        case Outcome.ABORTED:
            return ABORTED
        case Outcome.FAILED:
            code = exit_code or 1
            return code if code > 0 else 128 - code
