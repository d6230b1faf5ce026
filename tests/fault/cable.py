"""The network between one agent and the server, under a test's command."""

from __future__ import annotations

import asyncio

from wire import Wire


class Cable(Wire):
    """A wire that stays cut until it is mended, and can go mute at a word of the agent's."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._down = False
        self.mute_at: bytes | None = None
        """Once the agent sends these bytes, it does not hear the server any more."""
        self.muted = asyncio.Event()

    def admit(self) -> None:
        if self._down:
            raise ConnectionRefusedError

    def heard(self, data: bytes) -> None:
        if self.mute_at and self.mute_at in data:
            self.mute_at, self.mute = None, True
            self.muted.set()

    def cut(self) -> None:
        """End what is connected, and refuse what comes."""
        self._down = True
        super().cut()

    def mend(self) -> None:
        """Carry again; connections that lost something are ended."""
        if self.mute:
            super().cut()
        self._down = self.mute = False
