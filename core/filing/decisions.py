"""What becomes of a wish to file a task otherwise."""

from __future__ import annotations

from ..commands import Archive, Tag, Unarchive
from ..rejections import Rejected
from ..state import Ended, Task
from .filed import MOST_TAGS, Archived, Filed, Tagged, Unarchived, retagged


def file(task: Task, wish: Tag | Archive | Unarchive) -> Filed:
    """The event that the wish leads to. Raises `Rejected`."""
    match wish:
        case Tag(add, remove):
            return tag(task, add, remove)
        case Archive(reason):
            return archive(task, reason)
        case Unarchive(reason):
            return unarchive(task, reason)


def tag(task: Task, add: tuple[str, ...], remove: tuple[str, ...]) -> Tagged:
    """A task may be tagged in any state."""
    after = retagged(task.tags, add, remove)
    if after == task.tags:
        raise Rejected(f"the tags of task {task.id} are like that already")
    if len(after) > MOST_TAGS and len(after) > len(task.tags):
        raise Rejected(
            f"task {task.id} cannot have {len(after)} tags", why=f"at most {MOST_TAGS} are possible"
        )
    return Tagged(
        add=tuple(one for one in add if one not in task.tags),
        remove=tuple(one for one in remove if one in task.tags),
    )


def archive(task: Task, reason: str) -> Archived:
    """Only what has ended is archived: what waits or runs must be seen."""
    if task.archived:
        raise Rejected(f"task {task.id} is archived already", why=task.archived.reason)
    if not isinstance(task.state, Ended):
        raise Rejected(
            f"task {task.id} has not ended",
            why=f"it is {task.name_of_state}",
            fix=f"evq wait {task.id}, or evq abort {task.id}",
        )
    return Archived(reason)


def unarchive(task: Task, reason: str) -> Unarchived:
    """Back into the lists."""
    if task.archived is None:
        raise Rejected(f"task {task.id} is not archived")
    return Unarchived(reason)
