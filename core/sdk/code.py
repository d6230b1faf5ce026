"""Whether the server has a task's code, for whoever is about to name it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import NotFound
from ..ports import BusAway

if TYPE_CHECKING:
    from ..bus.connect import Bus
    from ..spec import Code

TRUSTED_SECONDS = 60.0
"""How long it is believed that code is there which was there."""


class CodeOnServer:
    """The code that the server has. What was found here, nobody removes before a task can name it:
    see `ports.Objects.touch`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._found: dict[str, float] = {}

    async def has(self, blob: str) -> bool:
        """Whether the server has a bundle."""
        if self._found.get(blob, 0.0) > time.monotonic():
            return True
        try:
            found = await self._bus.objects.touch(blob)
        except BusAway:
            # A server that evq has not used before has no place for code yet, and answers nothing.
            await self._bus.prepare()
            found = await self._bus.objects.touch(blob)
        if found:
            self.note(blob)
        return found

    def note(self, blob: str) -> None:
        """Believe that it is there: it was stored just now."""
        self._found[blob] = time.monotonic() + TRUSTED_SECONDS

    async def check(self, code: Code | None) -> None:
        """Raise `NotFound` unless all of the code is there."""
        for blob in code.blobs if code else ():
            if not await self.has(blob):
                raise NotFound(
                    f"the code {code and code.snapshot[:12]} is not on the server any more",
                    why="no task named it, and it was removed by a cleaning",
                    fix="evq enqueue in its folder sends the code as it is there now",
                )
