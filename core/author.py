"""Who writes events. The heart has neither a clock nor ids: both come in by this."""

from __future__ import annotations

from typing import Protocol

from .events import Envelope, Event


class Author(Protocol):
    """Who writes events: gives them an id, a time and a name."""

    def envelope(self, event: Event) -> Envelope: ...
