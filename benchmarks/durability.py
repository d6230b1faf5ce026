"""What it costs that an acknowledged event is on the disk, beside the disk's own limit.

uv run python benchmarks/durability.py [--events 2000]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path

from ground import client, folder, line, server

from evq.core.ports import Entry
from evq.core.sdk.client import Client

SIZE = 300


def disk_limit(home: Path, count: int) -> float:
    """Forced writes a second of one event's size, by one process into one file."""
    fd = os.open(home / "forced", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        began = time.perf_counter()
        for _ in range(count):
            os.write(fd, b"x" * SIZE)
            os.fdatasync(fd)
        return count / (time.perf_counter() - began)
    finally:
        os.close(fd)


async def one_by_one(opened: Client, count: int) -> float:
    """Appends a second, each awaited."""
    began = time.perf_counter()
    for number in range(count):
        await opened.bus.log.append(Entry(f"evq.x.one.{number}", b"x" * SIZE, f"one-{number}"))
    return count / (time.perf_counter() - began)


async def together(opened: Client, count: int, width: int = 64) -> float:
    """Appends a second, `width` of them awaited at a time."""
    began = time.perf_counter()
    for start in range(0, count, width):
        entries = [
            Entry(f"evq.x.many.{number}", b"x" * SIZE, f"many-{number}")
            for number in range(start, start + width)
        ]
        await asyncio.gather(*map(opened.bus.log.append, entries))
    return count / (time.perf_counter() - began)


async def batches(opened: Client, count: int, width: int = 500) -> float:
    """Appends a second in atomic batches."""
    began = time.perf_counter()
    for start in range(0, count, width):
        await opened.bus.log.append_all(
            [
                Entry(f"evq.x.batch.{number}", b"x" * SIZE, f"batch-{number}")
                for number in range(start, start + width)
            ]
        )
    return count / (time.perf_counter() - began)


async def measure(count: int) -> None:
    with folder() as home:
        limit = disk_limit(home, count)
    line("write and fdatasync", f"{limit:.0f}/s", "limit")
    for sync in ("always", "2m"):
        with folder() as home, server(home, sync) as login:
            async with client(login) as opened:
                for what, run in (
                    ("one by one", one_by_one),
                    ("64 at a time", together),
                    ("in batches of 500", batches),
                ):
                    rate = await run(opened, count)
                    line(f"sync {sync}: {what}", f"{rate:.0f}/s", f"{rate / limit:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2000)
    asyncio.run(measure(parser.parse_args().events))


if __name__ == "__main__":
    main()
