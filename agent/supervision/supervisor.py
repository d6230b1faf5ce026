"""Contains and ends the processes of attempts. Standard library only: runs without the package.

Once per agent, a *forkserver* is started, which forks *supervisors* on request. A supervisor
serves one attempt at a time and many one after the other: starting a command costs no fork of
Python, only the spawn itself. No process gets away, because

- a supervisor is the subreaper of all that it started: what leaves its process group or its
  session becomes a child of the supervisor. While there are no children, there are no
  descendants;
- if a supervisor dies, its children become the forkserver's, which kills them and says so;
- if the agent dies, its supervisors read the end of their control sockets, end their commands
  and exit; the forkserver exits after the last of them.

What is said on the control sockets (see `packets`):

    agent → forkserver   fork number              with the control socket of the new supervisor
    forkserver → agent   gone number              that supervisor and its processes are dead
    agent → supervisor   confine cgroups          what is started from now on is in these
                         hold                     with descriptors to keep open until rest
                         run argv cwd env         with stdout and stderr
                         stop grace, kill, freeze, thaw, lease deadline policy, rest, listen,
                         socket
    supervisor → agent   ready pid, started pid, failed stage errno, exited … (see `_report`)
                         frozen                   by itself, because the lease ran out
                         listening                with the socket, if there could be one
                         socket                   with one that is not connected, or without

All times are seconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from math import inf
from typing import Any

from .packets import receive, send
from .process import (
    NotEntered,
    Timer,
    become_subreaper,
    boot_seconds,
    descendants,
    halt,
    kill,
    resume,
    silence,
    spawn,
    spawn_inside,
    terminate,
)

LEFTOVER_GRACE = 0.5
"""Seconds between SIGTERM and SIGKILL for what is left when a command's main process has ended:
enough for helpers that tidy up by themselves (multiprocessing's resource tracker unlinks shared
memory then), too little to hold a slot."""

DEADLINE_GRACE = 0.5
"""The same for a command whose lease ran out under the policy `stop`."""

AGENT_DEAD_GRACE = 5.0
"""The same after the death of the agent, but never longer than the lease."""

SWEEP_PAUSE = 0.005
LONGEST_SWEEP_PAUSE = 1.0
"""Rounds of killing that find nobody new grow rarer: what hangs in the kernel dies late."""

REAP_BATCH = 1000
"""Where processes die as fast as they are buried, the agent must be heard all the same."""


class Command:
    """A command from its spawn until the last of its processes is dead."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.began = boot_seconds()
        self.exit_code: int | None = None
        self.wall = self.cpu = 0.0
        self.max_rss = 0
        self.told = False
        self.killed_after_grace = self.lease_ran_out = False
        self.kill_at = inf
        self.killed: set[int] = set()
        self.pause = 0.0
        self.ended_by_us: set[int] = set()
        self.leftovers = 0

    def reaped(self, pid: int, status: int, cpu: float, max_rss: int) -> None:
        """Count a dead process in."""
        self.cpu += cpu
        self.max_rss = max(self.max_rss, max_rss)
        if pid == self.pid:
            self.exit_code = os.waitstatus_to_exitcode(status)
            self.wall = boot_seconds() - self.began
        elif pid in self.ended_by_us and os.WIFSIGNALED(status):
            self.leftovers += 1


class Supervisor:
    """Serves one agent until that goes away."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._bell = become_subreaper(b"evq-supervisor")
        self._timer = Timer()
        self._pid = os.getpid()
        self._command: Command | None = None
        self._held: tuple[Any, ...] | None = None
        self._agent_lives = True
        self._more_dead = False
        self._holds: list[int] = []
        self._rest()

    def _rest(self) -> None:
        """Between two attempts there is no lease, and nothing to be confined."""
        self._deadline, self._policy = inf, "run"
        self._cgroups: list[str] = []
        for fd in self._holds:
            os.close(fd)
        self._holds.clear()
        self._frozen = self._expired = False

    def serve(self) -> None:
        """Returns when the agent is gone and no process is left."""
        self._say("ready", self._pid)
        poll = select.poll()
        for fd in (self._control.fileno(), self._bell, self._timer.fd):
            poll.register(fd, select.POLLIN)
        while self._agent_lives or self._command:
            for fd, _ in poll.poll(0 if self._more_dead else None):
                if fd == self._control.fileno():
                    self._hear(poll)
                else:
                    silence(fd)
            self._tend()
            self._look_at_clock()

    # --- the agent --------------------------------------------------------------------------

    def _say(self, *message: object) -> None:
        # An agent that is gone is noticed where it is heard.
        try:
            send(self._control, *message)
        except ConnectionError:
            return

    def _hear(self, poll: select.poll) -> None:
        message, fds = receive(self._control)
        match message:
            case ("confine", cgroups):
                self._cgroups = cgroups
            case ("hold",):
                self._holds += fds
            case ("run", argv, cwd, env):
                self._run(argv, cwd, env, *fds)
            case ("stop", grace):
                self._stop(grace)
            case ("kill",):
                self._stop(0)
            case ("freeze",):
                self._freeze()
            case ("thaw",):
                self._thaw()
            case ("lease", deadline, policy):
                self._deadline, self._policy = deadline, policy
                self._expired = False
            case ("rest",):
                self._rest()
            case ("listen",):
                self._listen()
            case ("socket",):
                self._make_socket()
            case ():
                poll.unregister(self._control.fileno())
                self._agent_lives = False
                self._stop(0 if self._frozen else AGENT_DEAD_GRACE)

    def _listen(self) -> None:
        """Give the agent a socket on the loopback that our commands see, in a container its own."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen(128)
                send(self._control, "listening", fds=(listener.fileno(),))
        except ConnectionError:
            return
        except OSError:
            self._say("listening")

    def _make_socket(self) -> None:
        """Give the agent a socket that connects in the network of our commands."""
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                send(self._control, "socket", fds=(made.fileno(),))
        except ConnectionError:
            return
        except OSError:
            self._say("socket")

    def _run(self, argv: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> None:
        if self._expired and self._policy == "stop":
            self._refuse("lease", errno.ETIME, out, err)
        elif self._frozen:
            self._held = (argv, cwd, env, out, err)
        else:
            self._start(argv, cwd, env, out, err)

    def _start(self, argv: list[str], cwd: str, env: dict[str, str], out: int, err: int) -> None:
        stage = "cwd"
        try:
            os.chdir(cwd)
            stage = "command"
            self._command = Command(self._spawn(argv, env, out, err))
        except (OSError, ValueError) as error:
            stage = "cgroup" if isinstance(error, NotEntered) else stage
            self._refuse(stage, getattr(error, "errno", None) or errno.EINVAL, out, err)
            return
        finally:
            # A working folder in use could not be unmounted.
            os.chdir("/")
        os.close(out)
        os.close(err)
        self._say("started", self._command.pid)

    def _spawn(self, argv: list[str], env: dict[str, str], out: int, err: int) -> int:
        if self._cgroups:
            return spawn_inside(self._cgroups, argv, env, out, err)
        return spawn(argv, env, out, err)

    def _refuse(self, stage: str, why: int, out: int, err: int) -> None:
        os.close(out)
        os.close(err)
        self._say("failed", stage, why)

    # --- the command's processes ------------------------------------------------------------

    def _stop(self, grace: float) -> None:
        """SIGTERM now and SIGKILL after `grace`; what has no time left is killed at once."""
        if self._held:
            *_, out, err = self._held
            self._held = None
            self._refuse("stopped", errno.ECANCELED, out, err)
        command = self._command
        if command is None:
            return
        if self._expired and self._policy != "run":
            grace = 0
        if grace > 0 and not command.told:
            terminate(self._pid, self._bury)
            self._frozen = False
        command.told |= grace > 0
        command.kill_at = min(command.kill_at, boot_seconds() + grace)

    def _freeze(self) -> None:
        self._frozen = True
        if self._command:
            _, complete = halt(self._pid, self._bury)
            if not complete:
                # What cannot be held must not run on without a lease.
                self._command.kill_at = boot_seconds()

    def _thaw(self) -> None:
        self._frozen = False
        resume(descendants(self._pid))
        if self._held:
            held, self._held = self._held, None
            self._start(*held)

    def _tend(self) -> None:
        command = self._command
        if command is None:
            return
        if not self._bury():
            self._report(command)
        elif command.exit_code is not None and command.kill_at == inf:
            self._end_leftovers(command)

    def _bury(self) -> bool:
        """Reap the dead; whether there are any children left, living or dead."""
        self._more_dead = False
        for _ in range(REAP_BATCH):
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if self._command:
                cpu = usage.ru_utime + usage.ru_stime
                self._command.reaped(pid, status, cpu, usage.ru_maxrss * 1024)
        self._more_dead = True
        return True

    def _end_leftovers(self, command: Command) -> None:
        if self._frozen:
            command.kill_at = boot_seconds()
            return
        command.ended_by_us.update(terminate(self._pid, self._bury))
        command.kill_at = boot_seconds() + LEFTOVER_GRACE

    def _report(self, command: Command) -> None:
        """No process is left."""
        self._command = None
        self._say(
            "exited",
            command.exit_code,
            command.cpu,
            command.max_rss,
            command.leftovers,
            command.killed_after_grace,
            command.wall,
            command.lease_ran_out,
        )

    # --- time -------------------------------------------------------------------------------

    def _look_at_clock(self) -> None:
        leased = self._policy != "run" and not self._expired
        command = self._command
        kill_at = command.kill_at if command else inf
        deadline = self._deadline if leased else inf
        if kill_at == deadline == inf:
            self._timer.set(inf)
            return
        now = boot_seconds()
        if now >= deadline:
            self._expire(now)
            self._look_at_clock()
            return
        if command and now >= kill_at:
            self._sweep(command, now)
            kill_at = command.kill_at
        self._timer.set(min(kill_at, deadline))

    def _expire(self, now: float) -> None:
        """The lease ran out: from now on, another agent may run the task."""
        command = self._command
        if command and command.kill_at < inf:
            command.kill_at = min(command.kill_at, now)
        elif self._policy == "freeze":
            self._freeze()
            self._say("frozen")
        elif command:
            command.lease_ran_out = True
            self._stop(DEADLINE_GRACE)
        self._expired = True

    def _sweep(self, command: Command, now: float) -> None:
        """One round of killing; rounds go on until nobody is left to be reaped."""
        killed = kill(self._pid, self._bury)
        command.killed_after_grace |= command.told and bool(killed)
        if command.exit_code is not None:
            command.ended_by_us.update(killed)
        # Whoever forks without end is outrun, not waited for.
        fresh = not command.killed.issuperset(killed)
        command.killed = set(killed)
        command.pause = 0 if fresh else min(command.pause * 2 + SWEEP_PAUSE, LONGEST_SWEEP_PAUSE)
        command.kill_at = now + command.pause
