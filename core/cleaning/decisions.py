"""What becomes of a wish that something goes of a task."""

from __future__ import annotations

from ..commands import Clean
from ..rejections import Rejected
from ..state import Ended, Task
from .cleaned import Cleaned, left_of


def clean(task: Task, wish: Clean) -> Cleaned:
    """Only of what has ended anything goes, and nothing goes twice."""
    if not isinstance(task.state, Ended):
        raise Rejected(f"task {task.id} has not ended", why=f"it is {task.name_of_state}")
    if task.state.at >= wish.before:
        raise Rejected(f"task {task.id} has ended too short a time ago")
    what = tuple(one for one in left_of(task) if one in wish.what)
    if not what:
        raise Rejected(f"nothing of that is left of task {task.id}")
    return Cleaned(what=what, reason=wish.reason, telemetry=wish.telemetry, size=wish.size)
