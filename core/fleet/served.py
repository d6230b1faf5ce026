"""What an agent serves: its queues, and how many GPUs a task of each gets that asks for none.

`--queues dual=2,single=1,spare=1-4,cpu` is read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ..errors import UsageError
from ..ids import check_name
from .resources import Request

_COUNT = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


class GpuCount(msgspec.Struct, frozen=True):
    """How many GPUs a queue's task gets: as many of them as are free, from `least` to `most`."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}-{self.most}"


def read_queues(text: str) -> dict[str, GpuCount | None]:
    """The queues in their order, each with its count of GPUs if it has one.

    Raises `UsageError` or `InvalidName`.
    """
    found: dict[str, GpuCount | None] = {}
    for word in text.split(","):
        name, sign, count = word.strip().partition("=")
        check_name(name, "queue")
        if name in found:
            raise UsageError("a queue is named twice", why=text, fix="name each once")
        found[name] = _count(name, count) if sign else None
    return found


def _count(queue: str, text: str) -> GpuCount:
    match = _COUNT.fullmatch(text)
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if least > most:
        raise UsageError(
            f"--queues {queue}={text} is no number of GPUs",
            why="a task of that queue gets so many GPUs, such as 2, or 1-4 for what is free",
            fix=f"--queues {queue}=1",
        )
    return GpuCount(least, most)


def counts_text(served: Mapping[str, GpuCount | None]) -> str:
    """The queues that have a count, as `read_queues` reads them."""
    return ",".join(f"{queue}={count}" for queue, count in served.items() if count)


def wanted(request: Request, count: GpuCount | None) -> Request:
    """What a task needs at least on an agent that gives its queue's tasks `count` GPUs.

    A task that asks for GPUs itself gets what it asks for.
    """
    if count is None or request.gpus:
        return request
    return msgspec.structs.replace(request, gpus=count.least)
