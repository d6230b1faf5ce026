"""A cleaning's controller that kills itself at a named point: `mortal_clean.py NAME POINT`.

Content may go as soon as it is there. Without a point it lives on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from evq.core.bus.bucket import Bucket
from evq.core.bus.stream import Stream
from evq.core.journal import holder_of
from evq.core.sdk import cleaning
from evq.core.sdk.connect import connect
from evq.core.sdk.journal import Journal
from evq.services.clean import carrying, controller

POINTS = (
    "taken",
    "begun",
    "some events",
    "all events",
    "listed",
    "said, not purged",
    "one removed",
    "all removed",
    "one forgotten",
    "done, not written",
)
"""Behind which of its deeds it dies: what it writes, and between a deed and what is written."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def mortal(point: str) -> None:
    """Have the controller of this process die at `point`."""
    _after(Journal, "take", lambda _: point == "taken")
    _after(Journal, "_write", lambda noted: point == "begun" and _kind(noted) == "began")
    _after(cleaning, "_append", lambda _: point == "some events")
    _after(carrying, "_write_events", lambda _: point == "all events")
    _after(carrying.looking, "named", lambda _: point == "listed")
    _after(Bucket, "say", lambda _: point == "said, not purged")
    _after(Bucket, "remove", lambda gone: point == "one removed" and gone)
    _after(carrying, "_remove_contents", lambda _: point == "all removed")
    _after(Stream, "forget", lambda _: point == "one forgotten")
    _after(controller, "carry_out", lambda _: point == "done, not written")


def _kind(noted: Any) -> str:
    fact = noted and noted.fact
    return str(fact.__struct_config__.tag) if fact else ""


def _after(owner: Any, name: str, is_time: Any) -> None:
    """Die after a call of this function, if its result says that it is time."""
    method = getattr(owner, name)

    async def mortal_method(*arguments: Any, **named: Any) -> Any:
        result = await method(*arguments, **named)
        if is_time(result):
            die()
        return result

    setattr(owner, name, mortal_method)


async def main(name: str, point: str) -> None:
    cleaning.AT_ONCE = 2
    carrying.CONTENT_AGE = carrying.SETTLE = 0.0
    if point:
        mortal(point)
    async with connect() as client:
        await controller.serve(client, holder_of(f"pid{os.getpid()}", 1), name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
