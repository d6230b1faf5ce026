"""One container, from its start to its end, and the supervisor that is its first process.

The kernel ends every process of a container with its first one. So the container of a supervisor
that is dead is empty, and the supervisor is watched by a pidfd: nobody else has to be asked, not
even the engine, which may be away.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path

import msgspec

from ...core.errors import ContainerFailed
from ..supervision.process import children
from ..supervision.supervised import Supervisor
from .engine import Engine, Wanted
from .memory import MemoryCount, memory_count
from .runtime import ROOM, Mount

CALL = f"{ROOM}/call"
"""Where the first process finds the socket."""

CALL_SECONDS = 30.0
"""How long the first process of a container may take until it calls."""

END_SECONDS = 10.0
"""How long it may take to end when it was told to, before the engine is told to remove it."""


class Container:
    """A running container; as the `Home` of a supervisor it has just that one."""

    def __init__(self, engine: Engine, id: str, connection: socket.socket) -> None:
        """`connection` is from the container's first process. Raises `ContainerFailed`."""
        self.id = id
        self._engine = engine
        self._connection = connection
        self._first, _, _ = struct.unpack("iii", connection.getsockopt(*_PEER))
        try:
            self._pidfd = os.pidfd_open(self._first)
            self.memory: MemoryCount = memory_count(self._first)
        except (OSError, ValueError) as error:
            raise ContainerFailed(
                "the container's processes cannot be watched",
                why=f"its first process is not seen from here ({error})",
                fix="run the agent beside the engine, not inside a container itself",
            ) from error
        self._dead = self._deaf = False
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)
        self.supervisor = Supervisor(self, 0)

    @classmethod
    async def start(cls, engine: Engine, wanted: Wanted, sockets: Path) -> Container:
        """Start a container and hear from it. Raises `ContainerFailed`.

        Its last argument and a mount are added here: the socket on which it calls, in `sockets`.
        """
        path = sockets / f"c-{secrets.token_hex(4)}"
        wanted = msgspec.structs.replace(
            wanted,
            argv=(*wanted.argv, CALL),
            mounts=(*wanted.mounts, Mount(str(path), CALL, writable=True)),
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.setblocking(False)
            listener.bind(str(path))
            try:
                path.chmod(0o600)
                listener.listen(1)
                id = await asyncio.to_thread(engine.start, wanted)
                try:
                    container = cls(engine, id, await _call(listener, wanted.image))
                    if not await container.supervisor.ready:
                        raise _silent(wanted.image, "its first process ended at once")
                except BaseException:
                    await asyncio.to_thread(engine.remove, id)
                    raise
                return container
            finally:
                # Whatever runs in the container must find nobody there.
                path.unlink()

    async def close(self) -> None:
        """End everything in it, and return when no process of it is left."""
        self.supervisor.end()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self.supervisor.over
        except TimeoutError:
            self.put_down(self.supervisor)
            await self.supervisor.over

    # --- as a supervisor's home ---------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Nothing gets away: the kernel ends what a dead first process leaves."""
        return True

    def connect(self, supervisor: Supervisor, number: int) -> socket.socket:
        """The connection that its process opened."""
        return self._connection

    def outside(self, pid: int) -> int:
        """The machine's own number of a child of the first process."""
        for child in children(self._first):
            with suppress(OSError):
                status = Path(f"/proc/{child}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
                if int(line.split()[-1]) == pid:
                    return child
        return 0

    def put_down(self, supervisor: Supervisor) -> None:
        """Kill the first process, and so all."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            # It runs as another user while it prepares an image.
            asyncio.get_running_loop().run_in_executor(None, self._engine.remove, self.id)

    def silent(self, supervisor: Supervisor) -> None:
        """It said its last; everything is over when it is dead, too."""
        self._deaf = True
        self._look()

    def forget(self, number: int) -> None:
        """It is over."""
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)

    def _died(self) -> None:
        # A dead process rings for ever.
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._dead = True
        self._look()

    def _look(self) -> None:
        # Both: what it said before its death is read first.
        if self._dead and self._deaf:
            self.supervisor.buried()


_PEER = (socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iii"))


async def _call(listener: socket.socket, image: str) -> socket.socket:
    """The connection from the container's first process."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CALL_SECONDS):
            connection, _ = await loop.sock_accept(listener)
    except TimeoutError:
        raise _silent(image, f"its first process has not called for {CALL_SECONDS:g} s") from None
    return connection


def _silent(image: str, why: str) -> ContainerFailed:
    return ContainerFailed(
        f"the container of {image} did not begin",
        why=f"{why}; it is this agent's own supervisor",
        fix="docker ps -a; docker info  # on the agent's machine",
    )
