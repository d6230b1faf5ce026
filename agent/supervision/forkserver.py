"""Where an agent gets its supervisors.

The process behind it is in `forking`; `supervisor` tells how no process gets away.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import UsageError
from .control import Control, pair
from .process import signal_all
from .refusal import MachineFailed
from .supervised import Exit, Supervisor

__all__ = ["Exit", "Forkserver", "Supervisor"]

BOOT = """
import sys
package = sys.modules["agent"] = type(sys)("agent")
package.__path__ = [sys.argv[1]]
from agent.supervision.forking import main
main(int(sys.argv[2]), sys.argv[3:])
"""
"""Runs `forking` out of its folder as a package of its own: without evq's other modules, and
without site-packages, a supervisor is small and quick to fork."""

FORK_TRIES = 3
KEEP = ("LD_LIBRARY_PATH",)


class Server:
    """One forkserver process."""

    def __init__(self, cgroups: Sequence[str], holds: Sequence[int]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.supervisors: dict[int, Supervisor] = {}
        ours, theirs = pair()
        self._control = Control(ours, self._heard, self._ended)
        fd = theirs.fileno()
        options = ("-I", "-S", "-E", "-X", "frozen_modules=on")
        folder = str(Path(__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, *options, "-c", BOOT, folder, str(fd), *cgroups],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(fd, *holds),
            # ^C in a terminal goes to the agent, which knows what to do about it.
            start_new_session=True,
            # The agent's variables may hold secrets, and a command's are given with each.
            env={name: os.environ[name] for name in KEEP if name in os.environ},
        )
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it still forks, and cleans up after its supervisors."""
        return self._control.open

    def connect(self, supervisor: Supervisor, number: int) -> socket.socket:
        """Order the process behind `supervisor`."""
        self.supervisors[number] = supervisor
        ours, theirs = pair()
        self._control.send("fork", number, fds=(theirs.fileno(),))
        theirs.close()
        return ours

    def outside(self, pid: int) -> int:
        """A supervisor counts as we do."""
        return pid

    def put_down(self, supervisor: Supervisor) -> None:
        """Kill a supervisor; what it leaves is the forkserver's to kill."""
        signal_all((supervisor.pid,), signal.SIGKILL)

    def silent(self, supervisor: Supervisor) -> None:
        """A supervisor is gone; the forkserver says when its processes are, if it can."""
        if not self.alive:
            supervisor.bury_alone()

    def forget(self, number: int) -> None:
        """A supervisor and all that was below it are dead."""
        self.supervisors.pop(number, None)

    def _heard(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("gone", number) if number in self.supervisors:
                self.supervisors[number].buried()

    def _ended(self) -> None:
        self._control.close()
        # Its sockets are closed by the kernel when it is dead but for the last microseconds.
        self._process.wait()
        for supervisor in list(self.supervisors.values()):
            supervisor.bury_alone()
        self.over.set_result(None)

    async def close(self) -> None:
        """End all supervisors and the forkserver, and wait until they are gone."""
        supervisors = list(self.supervisors.values())
        for supervisor in supervisors:
            supervisor.end()
        for supervisor in supervisors:
            await supervisor.over
        self._control.shut()
        await self.over


class Forkserver:
    """Where an agent gets its supervisors."""

    def __init__(self, cgroups: Sequence[str], holds: Sequence[int]) -> None:
        self._cgroups = cgroups
        self._holds = holds
        self._servers = [Server(cgroups, holds)]
        self._idle: list[Supervisor] = []
        self._numbers = itertools.count(1)

    @classmethod
    async def start(cls, cgroups: Sequence[str] = (), holds: Sequence[int] = ()) -> Forkserver:
        """Start the forkserver's process, which removes `cgroups` at its own end.

        It and its supervisors keep the descriptors `holds` open, so that a lock on them ends with
        the last process of ours.

        Raises `UsageError` where there is no Linux.
        """
        if sys.platform != "linux":
            raise UsageError(
                "an agent cannot run here",
                why=f"containing a task's processes needs Linux, and this is {sys.platform}",
                fix="run the agent on Linux, in a virtual machine or a container",
            )
        return cls(cgroups, holds)

    async def supervisor(self) -> Supervisor:
        """A supervisor without a command: a warm one if there is one, else a new one.

        Raises `MachineFailed` when this machine lets us start no process.
        """
        while self._idle:
            supervisor = self._idle.pop()
            if supervisor.usable:
                return supervisor
            supervisor.end()
        return await self._fork()

    async def warm(self, count: int) -> None:
        """Have `count` supervisors ready. Raises `MachineFailed`."""
        missing = range(count - len(self._idle))
        self._idle += await asyncio.gather(*(self._fork() for _ in missing))

    def release(self, supervisor: Supervisor) -> None:
        """Hand a supervisor back. What still runs in it is killed first."""
        if supervisor.busy:
            supervisor.kill()
            supervisor.when_free(lambda: self.release(supervisor))
        elif supervisor.usable:
            supervisor.rest()
            self._idle.append(supervisor)
        else:
            supervisor.end()

    async def close(self) -> None:
        """Kill what still runs, end all processes of ours, and wait until they are gone."""
        for server in self._servers:
            await server.close()

    async def _fork(self) -> Supervisor:
        for _ in range(FORK_TRIES):
            supervisor = Supervisor(self._living_server(), next(self._numbers))
            try:
                if await supervisor.ready:
                    return supervisor
            except asyncio.CancelledError:
                supervisor.end()
                raise
        raise MachineFailed(
            "no supervisor could be started",
            why=f"{FORK_TRIES} tries failed; the agent's log says more",
            fix="check the limits on processes and memory: ulimit -a; free -h",
        )

    def _living_server(self) -> Server:
        if not self._servers[-1].alive:
            self._servers = [server for server in self._servers if server.supervisors]
            self._servers.append(Server(self._cgroups, self._holds))
        return self._servers[-1]
