"""One task as it goes on: folded from the log, and what it says as it says it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from .....core.errors import EvqError
from .....core.events import Telemetry
from .....core.ports import BusAway
from .....core.sdk.following import Happened, Said, Told, follow_on
from .....core.state import Attempt, Task
from ...source import Source


class Story:
    """What is known of a task. Listeners are called with what is new; `follow` brings it."""

    def __init__(self, source: Source, task: Task, said: int) -> None:
        """`said` is the sequence up to which the projector knows what the task said."""
        self._source = source
        self._said = said
        self.task = task
        self.heard: list[Callable[[Attempt, Telemetry], None]] = []
        self.changed: list[Callable[[Task], None]] = []

    async def follow(self) -> None:
        """Go on until cancelled; whatever is away comes back."""
        bus = self._source.client.bus
        while True:
            try:
                async with aclosing(follow_on(bus, self.task, self._said)) as items:
                    async for item in items:
                        self._tell(item)
            except BusAway as away:
                await bus.wait(away)

    def _tell(self, item: Happened | Said | Told) -> None:
        match item:
            case Happened(task=task):
                self.task = task
                for changed in self.changed:
                    changed(task)
            case Said(attempt, record):
                for hear in self.heard:
                    hear(attempt, record)
            case Told():
                pass  # it may run again


async def story_of(source: Source, task: str) -> Story:
    """The task with this id or beginning of one. Raises `EvqError` if there is none.

    Without a projector, all that the task said is read from the stream itself.
    """
    client = source.client
    found = await client.get(await client.resolve(task))
    try:
        position = (await source.known("telemetry_position")).rows[0]["seq"]
    except EvqError:
        position = 0
    return Story(source, found, position)
