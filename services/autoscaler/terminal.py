"""An autoscaler in somebody's terminal: when it ends there, that is written down for the others."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex

from ...core.errors import Superseded
from ...core.journal import holder_of
from ...core.ports import BusAway
from ...core.sdk.client import Client
from .controller import serve
from .facts import Fact, Left, State
from .journal import autoscaler_journal

PATIENCE = 5.0
"""Seconds for the last word: who ends it does not wait for a server that is away."""


async def serve_here(client: Client, name: str, say: Callable[[str], None]) -> int:
    """Speak for an autoscaler until it is stopped, or a signal ends this process: then its number,
    else 0. Raises `Superseded`."""
    # A number of a process comes again, most of all in containers.
    holder = holder_of(f"pid{os.getpid()}-{token_hex(3)}", 1)
    try:
        return await _until_signal(asyncio.ensure_future(serve(client, name, holder, say)))
    finally:
        with suppress(BusAway, Superseded, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await _leave(client, name, holder)


async def _until_signal(work: asyncio.Future[None]) -> int:
    """^C needs no help: whoever runs this loop cancels what runs in it."""
    told: list[int] = []

    def end(number: int) -> None:
        told.append(number)
        work.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        # What nohup has it ignore, it goes on to ignore.
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        await work
    except asyncio.CancelledError:
        if not told:
            raise
    return told[0] if told else 0


async def _leave(client: Client, name: str, holder: str) -> None:
    """Write down that `holder` has ended, if it still speaks and is still wished for."""
    journal = autoscaler_journal(client, name)
    await journal.load()
    if journal.speaker != holder:
        return
    journal.holder = holder

    def choose(state: State) -> tuple[Fact, str] | None:
        return None if state.stopped else (Left(), "it has ended in its terminal")

    await journal.decide(choose)
