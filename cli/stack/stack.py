"""A small tree of processes: started in order, kept running, stopped in order, none left over.

Every process writes to its own log file, never to a pipe of ours: it can go on speaking while
we restart or die. A process that ends is started again after a pause that grows with each
failure in a row. Should we be killed, the kernel tells each process to end (Linux only).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from ...core.bus.waiting import first_of
from ...core.errors import Unreachable
from ...core.sdk.identity import Identity, born
from ...core.sdk.running import Running

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
ROTATE_BYTES = 16 * 1024**2
_READY_PAUSE = 0.01
_TAIL_PAUSE = 0.2
_PR_SET_PDEATHSIG = 1

State = Literal["starting", "running", "waiting", "stopping", "stopped"]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process to keep running.

    `env` is its whole environment. A lower `stop_order` is stopped sooner. `stop` are the
    signals that ask it to end, each with the seconds it then has; SIGKILL comes last. `ready`
    says whether it does its work; without it, to live is to be ready. One that `may_rest` is not
    started again when it ended with 0, as one does that was told to. All is up without one that
    is not `awaited`, which is started after the others. Lines of its log that hold
    `hide` are not repeated on the terminal.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stop_order: int
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)
    ready: Callable[[], Awaitable[bool]] | None = None
    may_rest: bool = False
    awaited: bool = True
    hide: str | None = None


class StartFailed(Unreachable):
    """A process of the tree ended before it was ready."""


def pause_after(failures: int) -> float:
    """Seconds before a process is started again after its `failures`-th failure in a row."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 16)))


class Member:
    """One process of the stack, over all its restarts."""

    def __init__(self, process: Process, log: Path, changed: Callable[[], None]) -> None:
        self.process = process
        self.log = log
        self.state: State = "stopped"
        self.restarts = 0
        self._since = time.time()
        self._changed = changed
        self._child: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._ended: asyncio.Future[int] | None = None
        self._spawned_at = 0.0

    @property
    def record(self) -> Running:
        """What `evq status` says of it."""
        return Running(
            name=self.process.name,
            state=self.state,
            since=self._since,
            restarts=self.restarts,
            process=self._identity if self._alive else None,
            last_exit=None if self._child is None else self._child.returncode,
        )

    @property
    def _alive(self) -> bool:
        return self._ended is not None and not self._ended.done()

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises `StartFailed` if it ends before."""
        try:
            offset = self._spawn()
        except OSError as error:
            raise StartFailed(
                f"{self.process.name} cannot be started",
                why=str(error),
                fix=f"see whether {self.process.argv[0]} runs on this machine",
            ) from error
        if not await self._became_ready():
            raise StartFailed(
                f"{self.process.name} did not start",
                why=f"it ended with {_exit_text(await self._end())}"
                + "".join(
                    f"\n    {line}" for line in last_lines(self.log, offset, self.process.hide)
                ),
                fix=f"see {self.log}",
            )

    async def start_and_keep(self) -> None:
        """Start it, in vain or not, and keep it running until cancelled."""
        with contextlib.suppress(StartFailed):
            await self.start()
        await self.keep()

    async def keep(self) -> None:
        """Start it again whenever it ends, unless it rests, until cancelled."""
        failures = 0
        while True:
            code = await self._end()
            if code == 0 and self.process.may_rest:
                self._enter("stopped")
                await asyncio.Event().wait()
            lived = time.monotonic() - self._spawned_at
            failures = 1 if lived > STEADY_SECONDS else failures + 1
            pause = pause_after(failures)
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"evq up: ended with {_exit_text(code)}, again in {pause:g} s\n")
            self._enter("waiting")
            await asyncio.sleep(pause)
            self.restarts += 1
            with contextlib.suppress(OSError):  # such as a program that is being reinstalled
                self._spawn()
                await self._became_ready()

    async def stop(self, hurry: asyncio.Event) -> None:
        """Ask it to end, then make it end. `hurry` being set ends one wait before its time."""
        for number, patience in self.process.stop:
            if self._child is None or not self._alive:
                break
            self._enter("stopping")
            self._child.send_signal(number)
            await first_of(self._end(), hurry.wait(), timeout=patience)
            hurry.clear()
        if self._child is not None and self._alive:
            self._child.kill()
            await self._end()
        self._enter("stopped")

    def _spawn(self) -> int:
        """Start the process; return where in the log it begins to speak."""
        rotate(self.log)
        self._spawned_at = time.monotonic()
        with self.log.open("ab") as log:
            offset = log.tell()
            self._child = subprocess.Popen(
                self.process.argv,
                env=dict(self.process.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A group of its own: ^C on the terminal is for us, who stop all in order.
                process_group=0,
                preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,
            )
        self._identity = Identity(self._child.pid, born(self._child.pid))
        self._ended = _when_ended(self._child)
        self._enter("starting")
        return offset

    async def _became_ready(self) -> bool:
        """Wait until the process is ready (true) or has ended (false)."""
        while self._alive:
            if self.process.ready is None or await self.process.ready():
                self._enter("running")
                return True
            await first_of(self._end(), timeout=_READY_PAUSE)
        return False

    async def _end(self) -> int:
        """The exit code of the process as it runs now, once it has one."""
        if self._ended is None:
            raise RuntimeError(f"{self.process.name} was never started")
        return await asyncio.shield(self._ended)

    def _enter(self, state: State) -> None:
        if state != self.state:
            self.state, self._since = state, time.time()
            self._changed()


class Stack:
    """Processes that live and end together. `changed` is called whenever one changes its state."""

    def __init__(
        self,
        processes: Sequence[Process],
        logs: Path,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.members = [Member(p, logs / f"{p.name}.log", changed) for p in processes]

    @property
    def records(self) -> tuple[Running, ...]:
        """What runs, in the order in which it is to be stopped."""
        return tuple(member.record for member in self._stopping())

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Start the first, then the others at once, call `ready`, keep them running until `stop`
        is set, stop all.

        `stop` set once more while they stop is for the impatient: it skips one wait.
        Raises `StartFailed` if one of them does not start. Leaves nothing running.
        """
        keepers: list[asyncio.Task[None]] = []
        try:
            awaited = [member for member in self.members[1:] if member.process.awaited]
            for together in (self.members[:1], awaited):
                await first_of(
                    asyncio.gather(*(member.start() for member in together)), stop.wait()
                )
                if stop.is_set():
                    return
                keepers += [asyncio.create_task(member.keep()) for member in together]
            ready()
            late = [member for member in self.members[1:] if not member.process.awaited]
            keepers += [asyncio.create_task(member.start_and_keep()) for member in late]
            await first_of(stop.wait(), *keepers)
        finally:
            stop.clear()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            for member in self._stopping():
                await member.stop(hurry=stop)

    def _stopping(self) -> list[Member]:
        return sorted(self.members, key=lambda member: member.process.stop_order)


def _when_ended(child: subprocess.Popen[bytes]) -> asyncio.Future[int]:
    """The exit code of `child`, as soon as it has one. Without threads where the system can."""
    loop = asyncio.get_running_loop()
    if sys.platform != "linux":
        return loop.run_in_executor(None, child.wait)
    ended: asyncio.Future[int] = loop.create_future()
    pidfd = os.pidfd_open(child.pid)

    def reap() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        ended.set_result(child.wait())

    loop.add_reader(pidfd, reap)
    return ended


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does first: ask the kernel for SIGTERM when `parent` is gone."""
    libc = ctypes.CDLL(None)

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew of our wish
            os._exit(1)

    return arrange


def rotate(log: Path) -> None:
    """Put a log that has grown large aside, in place of the one put aside before."""
    if log.exists() and log.stat().st_size > ROTATE_BYTES:
        log.replace(log.with_suffix(".log.1"))


def last_lines(log: Path, offset: int = 0, hide: str | None = None, count: int = 8) -> list[str]:
    """The last `count` lines of `log` that were written after `offset` and do not hold `hide`."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if not hide or hide not in line][-count:]


async def follow(member: Member, say: Callable[[str], None]) -> None:
    """Repeat every further line of a member's log, with its name before it, until cancelled."""
    log, hide, rest = member.log, member.process.hide, b""
    now = log.stat() if log.exists() else None
    position, identity = (now.st_size, now.st_ino) if now else (0, 0)
    while True:
        with contextlib.suppress(OSError), log.open("rb") as file:
            if os.fstat(file.fileno()).st_ino != identity:
                position, identity, rest = 0, os.fstat(file.fileno()).st_ino, b""
            file.seek(position)
            *lines, rest = (rest + file.read()).split(b"\n")
            position = file.tell()
            for line in lines:
                text = line.decode(errors="replace")
                if not hide or hide not in text:
                    say(f"{member.process.name:<11} {text}")
        await asyncio.sleep(_TAIL_PAUSE)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    return f"signal {signal.Signals(-code).name}"
