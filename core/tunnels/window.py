"""How much of a connection may be on the way in one direction.

Whoever sends may send a window's worth ahead of what the other end has passed on. So what a slow
reader leaves lying is never more than that, and lies where it came from.
"""

from __future__ import annotations

WINDOW = 512 * 1024
"""Bytes. At 40 ms there and back that is 12 MB/s for each connection."""

WORTH_TELLING = WINDOW // 4
"""Bytes that are passed on before the other end hears of it: a word for each piece would double
the messages."""


class Sending:
    """What may be sent at the end that sends."""

    def __init__(self) -> None:
        self.room = WINDOW
        """Bytes that may be sent now."""

    def sent(self, count: int) -> None:
        """So many bytes went out."""
        assert count <= self.room
        self.room -= count

    def granted(self, count: int) -> None:
        """The other end has passed so many on."""
        self.room += count


class Overrun(ValueError):
    """The other end sent more than it may."""


class Receiving:
    """What was let come at the end that receives."""

    def __init__(self) -> None:
        self._waiting = 0
        self._untold = 0

    def came(self, count: int) -> None:
        """So many bytes came in. Raises `Overrun` if they may not have been sent."""
        self._waiting += count
        if self._waiting + self._untold > WINDOW:
            raise Overrun(f"{self._waiting + self._untold} bytes, with a window of {WINDOW}")

    def passed_on(self, count: int) -> int:
        """So many of them were passed on; how many bytes to tell the other end of, which may be
        none yet."""
        self._waiting -= count
        self._untold += count
        if self._untold < WORTH_TELLING:
            return 0
        told, self._untold = self._untold, 0
        return told
