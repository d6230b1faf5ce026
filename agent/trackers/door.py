"""Where clients of tasks call: a socket that listens, and is served from the first call on.

Most tasks never call, so nobody waits for them: the first call starts the server's process, and
the kernel keeps the caller waiting until it answers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress

import msgspec

from .office import Office
from .ticket import Ticket

AGAIN = 1.0
"""Seconds after which a server that failed is started again, if somebody calls."""

PATIENCE = 5.0
"""Seconds that a server has to end."""

log = logging.getLogger(__name__)


def listening() -> socket.socket:
    """A socket on loopback, with a port that the kernel chooses."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.bind(("127.0.0.1", 0))
    found.listen(128)
    return found


class Door:
    """One listening socket, and the server behind it once somebody has called."""

    def __init__(self, listener: socket.socket, office: Office) -> None:
        self._listener = listener
        self._office = office
        self._key = bytes.fromhex(office.key)
        host, port = listener.getsockname()
        self.address = f"http://{host}:{port}"
        """Where it is, for a client."""
        self._serving: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._wait()

    def another(self, listener: socket.socket) -> Door:
        """One that lets in the same callers, elsewhere: where a container has its own loopback."""
        return Door(listener, self._office)

    def ticket(self, ticket: Ticket) -> str:
        """What lets an attempt in."""
        return ticket.signed(self._key)

    def _wait(self) -> None:
        self._loop.add_reader(self._listener, self._called)

    def _called(self) -> None:
        self._loop.remove_reader(self._listener)
        self._serving = asyncio.ensure_future(self._serve())

    async def _serve(self) -> None:
        """Run the server until the door is closed; one that fails is started again by a call."""
        try:
            await self._run_server()
        except OSError as error:
            log.warning("the server for MLflow clients cannot be started: %s", error)
        await asyncio.sleep(AGAIN)
        self._wait()

    async def _run_server(self) -> None:
        number = self._listener.fileno()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "evq.agent.trackers.mlflow", str(number)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(number,),
            # ^C in a terminal goes to the agent, which knows what to do about it.
            start_new_session=True,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._office) + b"\n")
        try:
            await process.wait()
            log.warning("the server for MLflow clients ended with status %s", process.returncode)
        except asyncio.CancelledError:
            process.stdin.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise

    async def close(self) -> None:
        """End the server, and listen no more."""
        if self._serving is None:
            self._loop.remove_reader(self._listener)
        else:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
            self._loop.remove_reader(self._listener)
        self._listener.close()


_KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONPATH", "LANG", "LC_ALL")
"""Variables of the agent that its server needs; others may hold secrets."""
