"""The one way in which tests wait for what announces itself by nothing: looking again and again.

Everything else waits for an event, a process's end or a line. Faults take their time on a slow
machine; `EVQ_TEST_PATIENCE` gives them more of it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = float(os.environ.get("EVQ_TEST_PATIENCE", "60"))
LOOK_EVERY = 0.005


async def until(condition: Callable[[], T | Awaitable[T]], what: str = "") -> T:
    """What `condition` gives (it may be async) as soon as that is true; fails after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        value: Any = await found if inspect.isawaitable(found) else found
        if value:
            return value
        assert time.monotonic() < end, f"not so after {PATIENCE:g} s: {what or condition}"
        await asyncio.sleep(LOOK_EVERY)
