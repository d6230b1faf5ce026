"""The controller of a run, as a task: `python -m evq.services.pipeline RUN`."""

from __future__ import annotations

import asyncio
import os
import sys

from ...core.errors import EvqError, Superseded, report
from ...core.journal import holder_of
from ...core.sdk.connect import connect
from .controller import Controller
from .facts import RunEnded
from .journals import open_run


async def control(name: str) -> RunEnded:
    """Carry the run called `name` through to its end."""
    holder = holder_of(
        os.environ.get("EVQ_TASK_ID", "by-hand"), int(os.environ.get("EVQ_ATTEMPT", 1))
    )
    async with connect(patience=60.0) as client:
        journal = await open_run(client, name)
        return await Controller(client, journal).run(holder)


def main() -> int:
    """Its exit status: 0 also for a run that failed, so that nobody starts it again."""
    try:
        ended = asyncio.run(control(sys.argv[1]))
    except Superseded as error:
        print(report(error), file=sys.stderr)
        return 0
    except EvqError as error:
        print(report(error), file=sys.stderr)
        return error.exit_code
    print(f"the run has {ended.outcome}" + (f": {ended.evidence}" if ended.evidence else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
