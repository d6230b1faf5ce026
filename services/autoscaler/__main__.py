"""`python -m evq.services.autoscaler NAME`: the controller of an autoscaler, as a task."""

from __future__ import annotations

import asyncio
import os
import sys

from ...core.errors import Superseded
from ...core.journal import holder_of
from ...core.sdk.connect import connect
from .controller import Controller, autoscaler


async def run(name: str) -> None:
    """Speak for the autoscaler until it is stopped, or until another attempt speaks for it."""
    async with connect() as client:
        journal = autoscaler(client, name)
        await journal.load()
        task = os.environ.get("EVQ_TASK_ID", f"pid{os.getpid()}")
        await journal.take(holder_of(task, int(os.environ.get("EVQ_ATTEMPT", "1"))))
        try:
            await Controller(client, journal, lambda words: print(words, flush=True)).run()
        except Superseded as superseded:
            print(superseded, flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
