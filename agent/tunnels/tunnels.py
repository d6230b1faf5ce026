"""Lets those who may reach the ports that tasks have declared, and nothing else.

Frames travel on a connection of their own to the server: what somebody downloads must not stand in
front of a lease's renewal.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec

from ...core.bus.connect import Bus, Login, connect
from ...core.errors import Conflict, EvqError, TunnelFailed
from ...core.ports import BusAway
from ...core.sdk.tunnels.connection import Connection
from ...core.sdk.tunnels.link import Link, end_of
from ...core.sdk.tunnels.tunnel import undeclared
from ...core.state import Task
from ...core.subjects import tunnels
from ...core.tunnels.frames import CHUNK, End, Welcome
from ...core.tunnels.hello import MOST_TUNNELS, Hello, port_text
from ..attempts.attempt import Attempt
from ..attempts.place import LOOPBACK

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
"""How long a task's program may take to accept a connection."""


ENDED = "the task's command has ended"


class _NoWay(Exception):
    """There is nothing to connect to; why, for people."""


class Tunnels:
    """All tunnels to the tasks of this agent."""

    def __init__(
        self, bus: Bus, login: Login, agent: str, attempt: Callable[[str], Attempt | None]
    ) -> None:
        """`attempt` gives what runs of a task here."""
        self._bus = bus
        self._login = login
        self._agent = agent
        self._attempt = attempt
        self._links: dict[Link, Attempt] = {}
        self._parts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Hear who asks for a tunnel, without end."""
        async with AsyncExitStack() as stack:
            frames: Bus | None = None
            try:
                async with self._bus.calls.listen(tunnels(self._agent)) as asked:
                    async for data in asked:
                        hello = _read(data)
                        if hello is None:
                            continue
                        if frames is None:
                            name = f"agent {self._agent} tunnels"
                            frames = await self._connect(stack, name)
                        if frames:
                            self._spawn(self._serve(frames, hello))
            finally:
                for part in self._parts:
                    part.cancel()
                await asyncio.gather(*self._parts, return_exceptions=True)

    async def _connect(self, stack: AsyncExitStack, name: str) -> Bus | None:
        try:
            return await stack.enter_async_context(connect(self._login, name))
        except EvqError as error:
            log.warning("no tunnel: %s", error)
            return None

    def ended(self, attempt: Attempt) -> None:
        """Its command has ended: close the tunnels that led there, with the reason."""
        for link, other in list(self._links.items()):
            if other is attempt:
                self._spawn(_close(link, attempt.task))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        part = asyncio.ensure_future(work)
        self._parts.add(part)
        part.add_done_callback(self._parts.discard)

    # --- one tunnel ---------------------------------------------------------------------------

    async def _serve(self, frames: Bus, hello: Hello) -> None:
        link = Link(frames.calls, to=hello.reply)
        try:
            attempt = self._admit(hello)
            link.on_open = lambda one: self._spawn(_reach(one, attempt, hello.port))
            subject = f"{tunnels(self._agent)}.{secrets.token_hex(8)}"
            async with frames.calls.listen(subject) as words:
                self._links[link] = attempt
                attempt.say(f"tunnel to {port_text(hello.port)} for {hello.by}")
                await link.send(Welcome(subject, attempt.holder.attempt, attempt.port_token))
                end = await link.run(words)
            log.info("tunnel to task %s, %s: %s", hello.task, port_text(hello.port), end.what)
        except EvqError as error:
            with suppress(BusAway):
                await link.send(end_of(error))
        except BusAway as away:
            log.info("a tunnel to task %s broke: %s", hello.task, away)
        finally:
            self._links.pop(link, None)

    def _admit(self, hello: Hello) -> Attempt:
        """The attempt that the tunnel leads to. Raises `TunnelFailed` or `Conflict`."""
        attempt = self._attempt(hello.task)
        if attempt is None or attempt.place is None:
            raise Conflict(
                f"task {hello.task} does not run on agent {self._agent}",
                why="its command has not begun" if attempt else "it has ended, or was lost",
                fix=f"evq show {hello.task}",
            )
        if hello.port not in attempt.task.spec.ports:
            raise undeclared(attempt.task, hello.port)
        if Counter(self._links.values())[attempt] >= MOST_TUNNELS:
            raise TunnelFailed(
                f"there are {MOST_TUNNELS} tunnels to task {hello.task} already",
                why="each of them is open until its user closes it",
                fix="close one of them",
            )
        return attempt


def _read(data: bytes) -> Hello | None:
    try:
        hello = msgspec.json.decode(data, type=Hello)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("no wish for a tunnel: %s", error)
        return None
    if not hello.fit:
        log.warning("a wish for a tunnel that nobody may answer: %r", hello.reply[:100])
        return None
    return hello


async def _close(link: Link, task: Task) -> None:
    again = "" if task.ended else "; it may run again"
    end = End(f"task {task.id} is {task.name_of_state}{again}", over=True)
    with suppress(BusAway):
        await link.send(end)
    link.end(end)


async def _reach(connection: Connection, attempt: Attempt, port: int) -> None:
    """Connect to the port where the attempt's command sees it, and carry bytes."""
    try:
        reader, writer = await _dial(attempt, port)
    except (OSError, TimeoutError, _NoWay) as error:
        await connection.refuse(_why_not(error, port))
        return
    await connection.carry(reader, writer)


async def _dial(
    attempt: Attempt, declared: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if (place := attempt.place) is None:
        raise _NoWay(ENDED)
    if (port := place.port(declared)) is None:
        raise _NoWay("the task has not asked for its free port yet")
    # A socket belongs to the network in which it was made: in a container, to that of its own.
    made = await place.supervisor.new_socket()
    if made is None or attempt.place is not place:
        raise _NoWay(ENDED)
    try:
        made.setblocking(False)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, (LOOPBACK, port))
        return await asyncio.open_connection(sock=made, limit=CHUNK)
    except BaseException:
        made.close()
        raise


def _why_not(error: Exception, port: int) -> str:
    if isinstance(error, _NoWay):
        return str(error)
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {port_text(port)} of the task"
    if isinstance(error, TimeoutError):
        return f"nobody accepts connections on {port_text(port)} of the task"
    return f"{port_text(port)} of the task: {error}"
