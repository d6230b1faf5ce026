"""A task with the code of a folder, exactly as `evq enqueue` sends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec import Spec, check_spec
from .request import Options, Runnable, spec_of
from .sending import send, with_code

if TYPE_CHECKING:
    from .client import Client
    from .enqueueing import Receipt


async def submit(
    client: Client,
    what: Runnable,
    args: Sequence[object],
    *,
    folder: Path,
    params: Mapping[str, object],
    include: Sequence[str],
    code: bool,
    options: Options,
) -> Receipt:
    """See `Client.submit`."""
    return await client.enqueue(
        await with_code_sent(
            client,
            what,
            args,
            folder=folder,
            params=params,
            include=include,
            code=code,
            options=options,
        )
    )


async def with_code_sent(
    client: Client,
    what: Runnable,
    args: Sequence[object],
    *,
    folder: Path,
    params: Mapping[str, object],
    include: Sequence[str] = (),
    code: bool = True,
    options: Options,
) -> Spec:
    """The spec that `submit` enqueues, whose code the server has."""
    spec = client.enqueuer.complete(spec_of(what, args, params, options, folder))
    with ExitStack() as stack:
        taken = with_code(check_spec(spec), folder, include=include, code=code)
        spec, snapshot = await asyncio.to_thread(stack.enter_context, taken)
        if snapshot:
            await send(client, snapshot)
        return spec
