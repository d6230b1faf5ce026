"""Word of a task's end to those that await it, stored in one batch with the end itself.

So no crash can come between the two, and what waited stands in its queue at once. Who awaits a
task stands in its own events: whoever ends it cannot miss one, because the end names the event
that it expects to follow. See docs/decisions/0023.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from ..author import Author
from ..decide import EndDependencies, Rejected, decide
from ..entries import event_entry, hint_entry
from ..errors import NotFound
from ..evolve import evolve
from ..ports import Entry
from ..state import Claimed, Ended, Held, Queued, Running, Task
from ..subjects import Level
from .dependencies import ends_of

Find = Callable[[str], Awaitable[Task]]

MOST_ENTRIES = 900
"""After so many of the 1000 messages that a batch may have, nobody else is told in it."""


async def word_of_end(author: Author, find: Find, ended: Task) -> Word:
    """What is to be stored with the end of a task: events and queue messages of those that await
    it, and of those that await them, where they can never run any more."""
    word = Word(author, find)
    await word.tell_all(ended)
    return word


class Word:
    """The entries of a batch, and the tasks as they will be when it is stored."""

    def __init__(self, author: Author, find: Find) -> None:
        self.entries: list[Entry] = []
        self.whole = True
        """Whether nobody had to be left out. Whoever gets the queue message that stands in the
        batch in their stead tells the rest."""
        self._author = author
        self._find = find
        self._ended: deque[Task] = deque()
        self._tasks: dict[str, Task] = {}

    async def tell_all(self, ended: Task) -> None:
        """Tell those that await `ended`, and so on along the chain."""
        self._ended.append(ended)
        while self._ended:
            await self._tell_dependents(self._ended.popleft())

    async def _tell_dependents(self, ended: Task) -> None:
        for name in ended.awaited_by:
            if len(self.entries) + len(self._ended) >= MOST_ENTRIES:
                self.whole = False
                self.entries.append(again_entry(self._author, ended))
                return
            await self._tell(name, ended)

    async def _tell(self, name: str, ended: Task) -> None:
        first = name not in self._tasks
        try:
            task = await self._find(name) if first else self._tasks[name]
            event = decide(task, EndDependencies(ends_of([ended])))
        except (NotFound, Rejected):
            return  # it waits no more; or it cannot be read, and the end must stand all the same
        envelope = self._author.envelope(event)
        after = evolve(task, task.seq + 1, envelope.at, envelope.by, event)
        self._tasks[task.id] = after
        # A second event of one task in a batch follows on the first, which names what it expects.
        entry = event_entry(task, envelope)
        self.entries.append(entry if first else replace(entry, expect=None))
        match after.state:
            case Queued():
                self.entries.append(again_entry(self._author, after))
            case Ended():
                self._ended.append(after)
            case Held() | Claimed() | Running():
                return


def again_entry(author: Author, task: Task) -> Entry:
    """A new queue message of a task."""
    return hint_entry(author, task, Level.of(task.spec))
