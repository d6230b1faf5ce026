"""An autoscaler's controller that kills itself at a named point: `mortal_autoscaler.py NAME POINT`.

Its words go to stdout. Without a point it lives on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from evq.core.journal import holder_of
from evq.core.sdk.client import Client
from evq.core.sdk.connect import connect
from evq.core.sdk.journal import Journal
from evq.services.autoscaler import controller

POINTS = (
    "taken",
    "wanted",
    "had, not written",
    "launched",
    "arrived",
    "draining",
    "ordered",
    "ending",
    "ended, not written",
    "gone",
)
"""Behind which of its deeds it dies: what it writes, and between a deed and what is written."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def mortal(point: str) -> None:
    """Have the controller of this process die at `point`."""
    _after(Journal, "take", lambda _: point == "taken")
    _after(Journal, "_write", lambda noted: noted is not None and _what(noted.fact) == point)
    _after(Client, "order", lambda _: point == "ordered")
    choose = controller.drivers_for

    def drivers_for(*arguments: Any) -> Any:
        found = choose(*arguments)
        for driver in found.values():
            _after(driver, "launch", lambda _: point == "had, not written")
            _after(driver, "end", lambda _: point == "ended, not written")
        return found

    controller.drivers_for = drivers_for


def _what(fact: Any) -> str:
    return "" if fact is None else str(fact.__struct_config__.tag)


def _after(owner: Any, name: str, is_time: Callable[[Any], bool]) -> None:
    """Die after a call of this method, if its result says that it is time."""
    method = getattr(owner, name)

    async def mortal_method(*arguments: Any, **named: Any) -> Any:
        result = await method(*arguments, **named)
        if is_time(result):
            die()
        return result

    setattr(owner, name, mortal_method)


async def main(name: str, point: str) -> None:
    if point:
        mortal(point)
    async with connect() as client:
        holder = holder_of(f"pid{os.getpid()}", 1)
        await controller.serve(client, name, holder, partial(print, flush=True))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
