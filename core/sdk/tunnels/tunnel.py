"""The user's end of a tunnel: a port of this machine that leads to one of a running task.

async with evq.connect() as client:
    async with await client.tunnel(task, 6006) as tunnel:
        print(tunnel.url)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from ... import subjects
from ...errors import Conflict, EvqError, TunnelFailed
from ...handle import find
from ...ports import AgentSilent, BusAway
from ...state import Attempt, Claimed, Ended, Held, Queued, Running, Task
from ...tunnels.frames import CHUNK, End, Welcome
from ...tunnels.hello import MOST_CONNECTIONS, Hello, port_text
from .connection import reset
from .link import Link

if TYPE_CHECKING:
    from ...bus.connect import Bus

LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 5.0
"""How long an agent may take to answer."""


class Tunnel:
    """A listening port of this machine. Each connection to it goes to the task's attempt of that
    moment: after a retry to the next one."""

    def __init__(self, bus: Bus, by: str, task: str, port: int) -> None:
        self.task = task
        self.port = port
        self.notice: Callable[[str], object] = lambda words: None
        """Told in words when a connection could not be made, or was broken off."""
        self._bus = bus
        self._by = by
        self._link: Link | None = None
        self._welcome: Welcome | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._greeting = asyncio.Lock()
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens: host and port."""
        assert self._server
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    @property
    def url(self) -> str:
        """The address for a browser."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def token(self) -> str:
        """What the task's program may ask for: it finds the same in EVQ_PORT_TOKEN."""
        assert self._welcome
        return self._welcome.token

    async def listen(self, host: str, port: int) -> Tunnel:
        """Reach the task, then listen. Raises `TunnelFailed`, `Conflict` or `NotFound`."""
        try:
            await self.reach()
            self._server = await asyncio.start_server(self._accept, host, port, limit=CHUNK)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError):
                raise Conflict(
                    f"cannot listen on {host}:{port}",
                    why=error.strerror or str(error),
                    fix="choose another --listen; without it a free port is taken",
                ) from error
            raise
        return self

    async def close(self) -> None:
        """Close it, and every connection through it."""
        if self._server:
            self._server.close()
        if self._link and not self._link.over.done():
            with suppress(BusAway):
                await self._link.send(End(f"{self._by} closed it"))
        for part in list(self._running):
            part.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def __aenter__(self) -> Tunnel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- to the agent -------------------------------------------------------------------------

    async def reach(self) -> Link:
        """The link to the agent that runs the task now; a new one if the last one is over."""
        async with self._greeting:
            if self._link is None or self._link.over.done():
                self._link = await self._greet()
            return self._link

    async def _greet(self) -> Link:
        attempt = _attempt_of(await find(self._bus.log, self.task), self.port)
        link = Link(self._bus.calls)
        hello = Hello(task=self.task, port=self.port, reply=self._bus.calls.inbox(), by=self._by)
        listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin(self._keep(link, hello.reply, listening))
        await listening
        await self._bus.calls.tell(subjects.tunnels(attempt.agent), msgspec.json.encode(hello))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                self._welcome = await asyncio.shield(link.welcome)
        except TimeoutError:
            link.end(End("nobody answered"))
            raise AgentSilent(
                f"agent {attempt.agent} has not answered a tunnel for {ANSWER_SECONDS:g} s"
            ) from None
        return link

    async def _keep(self, link: Link, inbox: str, listening: asyncio.Future[None]) -> None:
        try:
            async with self._bus.calls.listen(inbox) as words:
                listening.set_result(None)
                await link.run(words)
        except BusAway as away:
            link.end(End("the connection to the NATS server broke", why=str(away)))
            if not listening.done():
                listening.set_exception(away)

    # --- one connection -----------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._carry(reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._room:
                connection = await (await self.reach()).open()
                if reason := await connection.carry(reader, writer):
                    self.notice(reason)
        except (EvqError, BusAway) as error:
            self.notice(str(error))
            reset(writer)
        except BaseException:
            reset(writer)
            raise

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        part = asyncio.ensure_future(work)
        self._running.add(part)
        part.add_done_callback(self._running.discard)


def _attempt_of(task: Task, port: int) -> Attempt:
    """The attempt that a tunnel would lead to. Raises `TunnelFailed` or `Conflict`."""
    if port not in task.spec.ports:
        raise undeclared(task, port)
    match task.state:
        case Running(attempt):
            return attempt
        case Held() | Queued() | Claimed():
            why = f"it is {task.name_of_state}"
        case Ended():
            why = f"it has ended: {task.name_of_state}"
    raise Conflict(f"task {task.id} does not run", why=why, fix=f"evq why {task.id}")


def undeclared(task: Task, port: int) -> TunnelFailed:
    """The error for a port that a task does not let be reached."""
    known = ", ".join(map(str, task.spec.ports))
    return TunnelFailed(
        f"task {task.id} does not let {port_text(port)} be reached",
        why=f"it was enqueued with --port {known}" if known else "it was enqueued without --port",
        fix=f"evq clone {task.id} --port {port}",
    )
