"""Tasks moved from the page, in the name of whoever looks at it, and moved back."""

from __future__ import annotations

from collections.abc import Sequence

from .....core.errors import EvqError
from .....core.sdk.client import Client
from .....core.sdk.moving import Before, End, Mover, Outcome, Where
from .....core.words.phrases import count_of

REASON = "the dashboard"


class Moved:
    """Tasks that were moved, and what it takes to undo that."""

    def __init__(self, client: Client, done: Sequence[Outcome]) -> None:
        self._client = client
        self.done = [one for one in done if one.now]
        self.errors = [one.error for one in done if one.error]

    @property
    def text(self) -> str:
        """`k3f9… is number 1 of 12 in queue gpu`."""
        if len(self.done) != 1:
            return f"{count_of(len(self.done), 'task')} moved"
        (one,) = self.done
        if one.after:
            place = f"number {one.after.position} of {one.after.total}"
            return f"{one.task} is {place} in queue {one.after.queue}"
        return f"{one.task} is moved"

    async def undo(self) -> None:
        """Put each back before the one that followed it. Raises the first `EvqError`."""
        # The last one first, so that those who followed another one are there again before it.
        back = sorted(self.done, key=lambda one: one.before.position if one.before else 0)
        for one in reversed(back):
            if one.before is None:
                continue
            mover = Mover(self._client, f"{REASON}: undone", one.before.queue, one.before.priority)
            where = Before(one.follower) if one.follower else End()
            done = await mover.move([one.task], where)
            raise_first(done)


async def move(
    client: Client, tasks: Sequence[str], where: Where, queue: str | None = None
) -> Moved:
    """Move tasks to a place in their queue, or in another one. Raises the first `EvqError` if none
    could be moved."""
    done = await Mover(client, REASON, queue).move(tasks, where)
    moved = Moved(client, done)
    if not moved.done:
        raise_first(done)
    return moved


def raise_first(done: Sequence[Outcome]) -> None:
    """Raise the first error there is."""
    errors: list[EvqError] = [one.error for one in done if one.error]
    if errors:
        raise errors[0]
