"""An autoscaler's controller that kills itself at a named point: `mortal_autoscaler.py NAME POINT`.

Its words go to stdout. Without a point it lives on.
"""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial
from typing import Any

from mortal import die_after, kind_of

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


def mortal(point: str) -> None:
    """Have the controller of this process die at `point`."""
    die_after(Journal, "take", lambda _: point == "taken")
    die_after(Journal, "_write", lambda noted: kind_of(noted) == point)
    die_after(Client, "order", lambda _: point == "ordered")
    choose = controller.drivers_for

    def drivers_for(*arguments: Any) -> Any:
        found = choose(*arguments)
        for driver in found.values():
            die_after(driver, "launch", lambda _: point == "had, not written")
            die_after(driver, "end", lambda _: point == "ended, not written")
        return found

    controller.drivers_for = drivers_for


async def main(name: str, point: str) -> None:
    if point:
        mortal(point)
    async with connect() as client:
        holder = holder_of(f"pid{os.getpid()}", 1)
        await controller.serve(client, name, holder, partial(print, flush=True))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
