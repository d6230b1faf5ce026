"""A cleaning's controller that kills itself at a named point: `mortal_clean.py NAME POINT`.

Content may go as soon as it is there. Without a point it lives on.
"""

from __future__ import annotations

import asyncio
import os
import sys

from mortal import die_after, kind_of

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


def mortal(point: str) -> None:
    """Have the controller of this process die at `point`."""
    die_after(Journal, "take", lambda _: point == "taken")
    die_after(Journal, "_write", lambda noted: point == "begun" and kind_of(noted) == "began")
    die_after(cleaning, "_append", lambda _: point == "some events")
    die_after(carrying, "_write_events", lambda _: point == "all events")
    die_after(carrying.looking, "named", lambda _: point == "listed")
    die_after(Bucket, "say", lambda _: point == "said, not purged")
    die_after(Bucket, "remove", lambda gone: point == "one removed" and gone)
    die_after(carrying, "_remove_contents", lambda _: point == "all removed")
    die_after(Stream, "forget", lambda _: point == "one forgotten")
    die_after(controller, "carry_out", lambda _: point == "done, not written")


async def main(name: str, point: str) -> None:
    cleaning.AT_ONCE = 2
    carrying.CONTENT_AGE = carrying.SETTLE = 0.0
    if point:
        mortal(point)
    async with connect() as client:
        await controller.serve(client, holder_of(f"pid{os.getpid()}", 1), name)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
