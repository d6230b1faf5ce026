"""The controller as an agent starts it: an ordinary task, with a way to the server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from ...core.errors import EvqError, Superseded, report
from ...core.journal import holder_of
from ...core.sdk.connect import connect
from .controller import run


def main(argv: Sequence[str]) -> int:
    """Run the sweep that `argv` names to its end. 0 says that nothing is left to do here."""
    (name,) = argv
    status = 0
    try:
        asyncio.run(_run(name))
    except* Superseded as group:
        print(group.exceptions[0], file=sys.stderr)
    except* EvqError as group:
        status = 1
        for error in group.exceptions:
            assert isinstance(error, EvqError)
            print(report(error), file=sys.stderr)
    return status


async def _run(name: str) -> None:
    holder = holder_of(os.environ["EVQ_TASK_ID"], int(os.environ["EVQ_ATTEMPT"]))
    async with connect() as client:
        await run(client, name, holder)
