"""The agent's side of one supervisor: commands are started, watched and ended through it.

`supervisor` tells what happens in its process, and how no process gets away.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from .control import Control
from .process import descendants, session, signal_all
from .refusal import refusal

PATIENCE = 10.0
"""Seconds after which a supervisor that does not do what it was told is killed itself."""

BURY_SECONDS = 0.02


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended; when it is known, all of its processes are dead.

    `exit_code` is 0..255 or a negative signal number. `cpu_seconds` (user and system) and
    `max_rss_bytes` (of the largest process, and never less than a supervisor's own 10 MB) span
    all processes but those that nobody waited for. `leftovers` counts the processes that
    outlived the main one and had to be ended. `killed_after_grace`: SIGTERM did not suffice.
    `lease_ran_out`: it was ended for that. `supervisor_lost`: the supervisor was killed, and
    everything else but `exit_code` (-9) is unknown.
    """

    exit_code: int
    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0
    leftovers: int = 0
    killed_after_grace: bool = False
    wall_seconds: float = 0.0
    lease_ran_out: bool = False
    supervisor_lost: bool = False


class _Refused(Exception):
    """The supervisor could not start the command: at which stage, and the error number."""

    def __init__(self, stage: str, errno: int) -> None:
        super().__init__(stage, errno)
        self.stage = stage
        self.errno = errno


def _ignore() -> None:
    """Nobody wants to know."""


class Home(Protocol):
    """Where the process behind a supervisor lives: below a forkserver, or in a container."""

    @property
    def alive(self) -> bool:
        """Whether nothing gets away if the supervisor is killed."""
        ...

    def connect(self, supervisor: Supervisor, number: int) -> socket.socket:
        """Our end of its control socket; `number` names it in `forget`."""
        ...

    def outside(self, pid: int) -> int:
        """The machine's own number of a process that the supervisor knows as `pid`; 0 if it
        is gone."""
        ...

    def put_down(self, supervisor: Supervisor) -> None:
        """Kill a supervisor that does not listen."""
        ...

    def silent(self, supervisor: Supervisor) -> None:
        """A supervisor said its last; call its `buried` when its processes are dead, too."""
        ...

    def forget(self, number: int) -> None:
        """A supervisor and all that was below it are dead."""
        ...


class Supervisor:
    """A process that contains one command at a time; ours from `Forkserver.supervisor` to
    `release`. A method that gives an order returns at once."""

    def __init__(self, home: Home, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.pid = 0
        self.on_frozen: Callable[[], None] = _ignore
        """Called when the lease ran out and the supervisor froze the command by itself."""
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._home = home
        self._number = number
        self._control = Control(home.connect(self, number), self._heard, self._ended)
        self._main = 0
        self._started: asyncio.Future[int] = loop.create_future()
        self._exit: asyncio.Future[Exit] | None = None
        self._listener: asyncio.Future[socket.socket | None] | None = None
        self._sockets: deque[asyncio.Future[socket.socket | None]] = deque()
        self._told_to_end = False
        self._watchdog: asyncio.TimerHandle | None = None
        self._burial: asyncio.Task[None] | None = None

    # --- orders -----------------------------------------------------------------------------

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | Path,
        env: Mapping[str, str],
        stdout: int,
        stderr: int,
    ) -> int:
        """Start a command and return its pid; the descriptors stay the caller's to close.

        A frozen supervisor starts it when it is thawed. Raises `SpawnFailed` if it cannot be
        started, also because this attempt was told to end (`stop`, `kill`) before.
        """
        if self._told_to_end:
            raise refusal("stopped", 0, argv, cwd, env)
        self._started = self._loop.create_future()
        self._exit = self._loop.create_future()
        self._main = 0
        if not self.usable:
            self._exit.cancel()
            raise refusal("lost", 0, argv, cwd, env)
        words = [str(word) for word in argv]
        variables = {str(name): str(value) for name, value in env.items()}
        self._tell("run", words or [""], str(cwd), variables, fds=(stdout, stderr))
        try:
            return await self._started
        except _Refused as refused:
            raise refusal(refused.stage, refused.errno, argv, cwd, env) from None

    async def wait(self) -> Exit:
        """How the command ended that was spawned last, once all of its processes are dead."""
        assert self._exit is not None, "nothing was spawned"
        # Whoever gives up waiting does not end the wait of the others.
        return await asyncio.shield(self._exit)

    def stop(self, grace: float) -> None:
        """SIGTERM to every process of the command, SIGKILL to what is left after `grace` s."""
        self._told_to_end = True
        if self.busy:
            self._tell("stop", float(grace))
            self._watch(grace + PATIENCE)

    def kill(self) -> None:
        """SIGKILL to every process of the command."""
        self._told_to_end = True
        if self.busy:
            self._tell("kill")
            self._watch(PATIENCE)

    def confine(self, cgroups: Sequence[str]) -> None:
        """Start commands inside these cgroups until `rest`."""
        self._tell("confine", list(cgroups))

    def hold(self, descriptor: int) -> None:
        """Keep a file open until `rest`: a lock on it then outlives a dead agent, and ends with
        the last process of the attempt. The descriptor stays the caller's to close."""
        self._tell("hold", fds=(descriptor,))

    async def listen(self) -> socket.socket | None:
        """A socket that listens on the loopback which its commands see; None if there is none."""
        self._listener = self._loop.create_future()
        self._tell("listen")
        self._watch(PATIENCE)
        try:
            return await self._listener if self.usable else None
        finally:
            self._unwatch()

    async def new_socket(self) -> socket.socket | None:
        """A socket that connects in the network of its commands; None if there is none."""
        made: asyncio.Future[socket.socket | None] = self._loop.create_future()
        if not self.usable:
            return None
        self._sockets.append(made)
        self._tell("socket")
        return await made

    def freeze(self) -> None:
        """Stop every process in its tracks (SIGSTOP) until `thaw`, `stop` or `kill`."""
        self._tell("freeze")

    def thaw(self) -> None:
        """Let a frozen command go on."""
        self._tell("thaw")

    def lease(self, deadline: float, on_deadline: Literal["freeze", "stop", "run"]) -> None:
        """The command may run until `deadline`, in seconds of CLOCK_BOOTTIME.

        Then the supervisor freezes it, or stops it, or lets it run. A later deadline does not
        thaw it: that is for whoever knows that the attempt is still ours.
        """
        self._tell("lease", float(deadline), on_deadline)

    def rest(self) -> None:
        """Forget lease and orders: an attempt is over."""
        self.on_frozen = _ignore
        self._told_to_end = False
        self._tell("rest")

    def end(self) -> None:
        """Kill what runs, and let the supervisor exit; `over` tells when it has."""
        self.kill()
        self._control.shut()

    # --- state ------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a command is being started or runs."""
        return self._exit is not None and not self._exit.done()

    @property
    def usable(self) -> bool:
        """Whether it can be given a command, where what it leaves would be cleaned up."""
        return self._control.open and self._home.alive

    def when_free(self, then: Callable[[], object]) -> None:
        """Call `then` when the present command has ended."""
        assert self._exit is not None
        self._exit.add_done_callback(lambda _: then())

    async def without_command(self) -> None:
        """Return when the present command has ended, if there is one."""
        if self._exit is not None:
            await asyncio.wait((self._exit,))

    # --- what the supervisor says -------------------------------------------------------------

    def _tell(self, *message: object, fds: Sequence[int] = ()) -> None:
        if not self._control.send(*message, fds=fds):
            self._put_down()

    def _watch(self, seconds: float) -> None:
        self._unwatch()
        self._watchdog = self._loop.call_later(seconds, self._put_down)

    def _unwatch(self) -> None:
        if self._watchdog:
            self._watchdog.cancel()
            self._watchdog = None

    def _put_down(self) -> None:
        """It does not listen. Killed, it leaves its processes to its home."""
        if self._control.open and self.pid:
            self._home.put_down(self)

    def _heard(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("ready", pid):
                self.pid = pid
                if not self.ready.done():
                    self.ready.set_result(True)
            case ("started", pid):
                self._main = self._home.outside(pid)
                if not self._started.done():
                    self._started.set_result(self._main)
            case ("failed", stage, number):
                self._fail(_Refused(stage, number))
            case ("frozen",):
                self.on_frozen()
            case ("socket", *descriptors):
                self._made([socket.socket(fileno=one) for one in descriptors])
            case ("listening", *descriptors):
                self._listening([socket.socket(fileno=one) for one in descriptors])
            case ("exited", code, cpu, max_rss, leftovers, killed, wall, lease_ran_out):
                self._finish(
                    Exit(
                        exit_code=code,
                        cpu_seconds=cpu,
                        max_rss_bytes=max_rss,
                        leftovers=leftovers,
                        killed_after_grace=killed,
                        wall_seconds=wall,
                        lease_ran_out=lease_ran_out,
                    )
                )

    def _listening(self, sockets: list[socket.socket]) -> None:
        if self._listener and not self._listener.done():
            self._listener.set_result(sockets[0] if sockets else None)

    def _made(self, sockets: list[socket.socket]) -> None:
        made = self._sockets.popleft()
        if made.done():  # whoever wanted it has given up
            for one in sockets:
                one.close()
        else:
            made.set_result(sockets[0] if sockets else None)

    def _fail(self, refused: _Refused) -> None:
        self._unwatch()
        if not self._started.done():
            self._started.set_exception(refused)
        if self._exit:
            self._exit.cancel()

    def _finish(self, exit: Exit) -> None:
        self._unwatch()
        if self._exit and not self._exit.done():
            self._exit.set_result(exit)

    def _ended(self) -> None:
        """The supervisor's process is gone; its children may not be."""
        self._listening([])
        while self._sockets:
            self._made([])
        if not self.ready.done():
            self.ready.set_result(False)
        if not self.pid:
            self.buried()
        else:
            self._home.silent(self)

    def bury_alone(self) -> None:
        """Forkserver and supervisor were killed both: end what can still be found."""
        if not self._control.open and not self._burial:
            self._burial = asyncio.ensure_future(self._bury_alone())

    async def _bury_alone(self) -> None:
        while self.busy and self._main and (found := session(self._main)):
            for pid in found:
                signal_all([*descendants(pid), pid], signal.SIGKILL)
            await asyncio.sleep(BURY_SECONDS)
        self.buried()

    def buried(self) -> None:
        """The supervisor and all that was below it are dead."""
        self._home.forget(self._number)
        self._control.close()
        if self.busy:
            if not self._started.done():
                self._fail(_Refused("lost", 0))
            self._finish(Exit(exit_code=-signal.SIGKILL, supervisor_lost=True))
        if not self.over.done():
            self.over.set_result(None)
