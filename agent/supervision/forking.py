"""The forkserver's process: forks supervisors, and ends what a dead one leaves.

Standard library only; `forkserver` starts it, and `supervisor` tells the whole story.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from contextlib import suppress

from .cgroup import remove
from .packets import receive, send
from .process import become_subreaper, kill, silence
from .supervisor import REAP_BATCH, SWEEP_PAUSE, Supervisor

IGNORED = "SIGHUP SIGINT SIGQUIT SIGTERM SIGUSR1 SIGUSR2"
"""A ^C in the agent's terminal, or a careless pkill, must not take the containment away."""


class Forkserver:
    """Forks supervisors, and ends what a dead one leaves."""

    def __init__(self, agent: socket.socket, cgroups: list[str]) -> None:
        """`cgroups` are the agent's, to be removed when it is gone."""
        self._agent = agent
        self._cgroups = cgroups
        self._bell = become_subreaper(b"evq-forkserver")
        self._supervisors: dict[int, int] = {}
        self._dead: list[int] = []
        self._agent_lives = True

    def serve(self) -> socket.socket | None:
        """Returns when the agent and all supervisors are gone.

        Returns in a new supervisor's process, too: with its control socket.
        """
        poll = select.poll()
        poll.register(self._agent.fileno(), select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while self._agent_lives or self._supervisors or self._dead:
            for fd, _ in poll.poll(SWEEP_PAUSE * 1000 if self._dead else None):
                if fd == self._bell:
                    silence(fd)
                elif control := self._hear(poll):
                    return control
            self._reap()
            if self._dead and not kill(os.getpid(), self._reap, besides=self._supervisors):
                self._say_gone()
        for folder in self._cgroups:
            remove(folder)
        return None

    def _hear(self, poll: select.poll) -> socket.socket | None:
        message, fds = receive(self._agent)
        if not message:
            poll.unregister(self._agent.fileno())
            self._agent_lives = False
            return None
        control = socket.socket(fileno=fds[0])
        try:
            pid = os.fork()
        except OSError:
            # The agent sees the socket close before anybody said "ready".
            control.close()
            return None
        if pid == 0:
            os.close(self._bell)
            self._agent.close()
            return control
        self._supervisors[pid] = message[1]
        control.close()
        return None

    def _reap(self) -> None:
        for _ in range(REAP_BATCH):
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._supervisors:
                self._dead.append(self._supervisors.pop(pid))

    def _say_gone(self) -> None:
        for number in self._dead:
            try:
                send(self._agent, "gone", number)
            except ConnectionError:
                continue
        self._dead.clear()


def main(fd: int, cgroups: list[str]) -> None:
    """Be a forkserver for the agent at the other end of `fd`, or a supervisor forked by it."""
    for name in IGNORED.split():
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    for number in map(int, os.listdir("/proc/self/fd")):
        # Supervisors get what the agent gave us by the fork; commands must not have it.
        with suppress(OSError):
            os.set_inheritable(number, number <= 2)
    os.chdir("/")
    gc.freeze()
    control = Forkserver(socket.socket(fileno=fd), cgroups).serve()
    if control:
        Supervisor(control).serve()
