"""The event loop of processes that live on messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop halves the cost of every message; where it is not to be had, asyncio's own will do."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
