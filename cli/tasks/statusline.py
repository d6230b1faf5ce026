"""The one line at the bottom of a terminal that is rewritten while a task runs."""

from __future__ import annotations

import sys
import time

from ..output import cut, dim, terminal_width

_PAUSE = 0.1


class StatusLine:
    """Shows a passing fact on stderr; without a terminal it shows nothing."""

    def __init__(self) -> None:
        self._possible = sys.stderr.isatty() and sys.stdout.isatty()
        self._shown = False
        self._next = 0.0

    def show(self, text: str) -> None:
        """Replace what the line says, at most ten times a second."""
        if not self._possible or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE
        self._shown = True
        sys.stderr.write("\r\x1b[K" + dim("  " + cut(text, terminal_width() - 3)))
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away, so that something else can be printed."""
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
