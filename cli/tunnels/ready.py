"""Waiting for a session: until its task runs, then until what it serves answers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from ...core.errors import Conflict
from ...core.ports import BusAway
from ...core.sdk.following import Happened, follow
from ...core.sdk.sessions.session import Session
from ...core.sdk.waiting import explain
from ...core.state import Ended, Queued, Running, Task
from ..submit.run import Show
from ..tasks.statusline import StatusLine

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.tunnels.tunnel import Tunnel

LOOK_AGAIN = 2.0
"""Seconds between two looks why a session still waits."""

TRY_AGAIN = 0.2


async def until_running(client: Client, task: str, line: StatusLine) -> Task:
    """The session, as soon as its command runs; why it waits is shown. Raises `Conflict`."""
    known = await client.get(task)
    telling = asyncio.ensure_future(_tell_why(client, task, line))
    show = Show()
    try:
        if not isinstance(known.state, Running | Ended):
            async with aclosing(follow(client.bus, known)) as items:
                async for item in items:
                    if not isinstance(item, Happened):
                        continue
                    line.clear()
                    show.tell(item)
                    known = item.task
                    if isinstance(known.state, Running):
                        break
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    if isinstance(known.state, Running):
        return known
    raise Conflict(
        f"session {task} has ended: {known.name_of_state}",
        why=known.state.evidence if isinstance(known.state, Ended) else "",
        fix=f"evq logs {task} --setup",
    )


async def _tell_why(client: Client, task: str, line: StatusLine) -> None:
    while True:
        await asyncio.sleep(LOOK_AGAIN)
        try:
            known = await client.get(task)
            if isinstance(known.state, Queued):
                why = await explain(client, known)
                line.show(why.waits.text if why.waits else known.name_of_state)
        except BusAway:
            continue


async def answers(client: Client, tunnel: Tunnel, session: Session, line: StatusLine) -> None:
    """Return when the session's program answers. Raises `Conflict` if it ends before."""
    ended = asyncio.ensure_future(client.wait(tunnel.task))
    asking = asyncio.ensure_future(_until_answered(tunnel, session, line))
    try:
        await asyncio.wait((ended, asking), return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            return asking.result()
        (task,) = ended.result()
        raise Conflict(
            f"session {task.id} has ended: {task.name_of_state}",
            why=task.state.evidence if isinstance(task.state, Ended) else "",
            fix=f"evq logs {task.id}",
        )
    finally:
        for part in (ended, asking):
            part.cancel()
        await asyncio.gather(ended, asking, return_exceptions=True)


async def _until_answered(tunnel: Tunnel, session: Session, line: StatusLine) -> None:
    while not await _answers(tunnel, session):
        line.show(f"{session.kind} starts …")
        await asyncio.sleep(TRY_AGAIN)


async def _answers(tunnel: Tunnel, session: Session) -> bool:
    """Whether somebody is at the port: of Jupyter, whether it serves pages."""
    reader, writer = await asyncio.open_connection(*tunnel.address)
    try:
        if session.kind == "terminal":
            return bool(await reader.read(1))
        writer.write(b"GET /api HTTP/1.0\r\nHost: localhost\r\n\r\n")
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
