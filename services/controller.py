"""A controller as an agent starts it: an ordinary task, with a login to the server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from ..core.errors import EvqError, Superseded, report
from ..core.journal import holder_of
from ..core.sdk.client import Client
from ..core.sdk.connect import connect


def main(serve: Callable[[Client, str], Awaitable[None]]) -> int:
    """Serve, speaking for services as the holder that `serve` is given; the exit status.

    0 says that nothing is left to do here: another attempt has taken over.
    """
    status = 0
    try:
        asyncio.run(_serve(serve))
    except* Superseded as group:
        print(*group.exceptions, file=sys.stderr)
    except* EvqError as group:
        status = 1
        for error in group.exceptions:
            print(report(error) if isinstance(error, EvqError) else error, file=sys.stderr)
    return status


async def _serve(serve: Callable[[Client, str], Awaitable[None]]) -> None:
    holder = holder_of(os.environ["EVQ_TASK_ID"], int(os.environ["EVQ_ATTEMPT"]))
    async with connect(patience=60.0) as client:
        await serve(client, holder)
