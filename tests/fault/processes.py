"""Processes under a test's hands: agents with all that runs below them."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress

import psutil
from waiting import PATIENCE


class AgentProcess:
    """An agent, and all processes that were ever seen below it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.process = process
        self.family: set[psutil.Process] = set()

    def look(self) -> list[psutil.Process]:
        """The processes below it now: forkserver, supervisors, commands."""
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.process.pid).children(recursive=True)
            self.family.update(found)
            return found
        return []

    def supervisor_of(self, pid: int) -> psutil.Process:
        """The supervisor of the command `pid`."""
        found = psutil.Process(pid).parent()
        assert found is not None
        return found

    def forkserver_of(self, pid: int) -> psutil.Process:
        """The process that forked the supervisor of the command `pid`."""
        found = self.supervisor_of(pid).parent()
        assert found is not None
        return found

    def kill(self) -> None:
        """kill -9."""
        self.look()
        self.process.kill()
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(PATIENCE)

    def pause(self) -> None:
        """SIGSTOP: it can do nothing, and does not know."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def give_back(self) -> None:
        """Two SIGTERMs: end what runs, and go."""
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self.process.poll() is not None and not any(map(lives, self.family))


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that is dead and not reaped yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
