"""`python -m evq.services.autoscaler NAME`: the controller of an autoscaler, as a task."""

from __future__ import annotations

import asyncio
import sys

from ...core.sdk.connect import connect
from .controller import speak


async def main(name: str) -> None:
    """Speak for the autoscaler of this name, with the login that the task was given."""
    async with connect() as client:
        await speak(client, name, lambda words: print(words, flush=True))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
