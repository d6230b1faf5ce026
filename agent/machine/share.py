"""What one attempt takes of the machine: processor time, memory, and which processes are its own.

An attempt that has a cgroup of its own, because of its limits or its container, is read from the
kernel's account of that. Any other is the tree of processes below its supervisor: looked at often,
and as a whole now and then, for to find every child means to ask every thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import msgspec

from ..supervision.process import descendants
from .accounts import Account, account_of

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

WHOLE_SECONDS = 5.0
"""How often all threads of all processes are asked for their children."""


class ShareReading(msgspec.Struct, frozen=True, kw_only=True):
    """One look: `cpu` is in percent of one processor since the look before, null at the first;
    `memory` is in bytes."""

    cpu: float | None
    memory: int
    pids: frozenset[int]


class _Process(msgspec.Struct, frozen=True):
    """Seconds of processor time with that of its dead children, which are `children`; memory."""

    parent: int
    seconds: float
    children: float
    memory: int


class Share:
    """The processes of one attempt. Made by the event loop, read by the thread that looks."""

    def __init__(
        self,
        claim: int,
        task: str,
        attempt: int,
        pid: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pid` is the command's first process, which its supervisor has just started."""
        self.claim = claim
        self.task = task
        self.attempt = attempt
        self._pid = pid
        self._clock = clock
        self._account: Account | None = None
        self._supervisor = 0
        self._pids: frozenset[int] = frozenset()
        self._whole_at = float("-inf")
        self._before: tuple[float, float] | None = None

    def read(self) -> ShareReading | None:
        """What its processes take now; None when they are gone."""
        if self._account is None and not self._find():
            return None
        assert self._account is not None
        processes = self._look()
        if not processes:
            return None
        used, memory = self._account.cpu_seconds(), self._account.memory()
        if used is None:
            used = self._tree_seconds(processes)
        if memory is None:
            memory = sum(one.memory for one in processes.values())
        return ShareReading(cpu=self._rate(used), memory=memory, pids=frozenset(processes))

    def _find(self) -> bool:
        process = _read(self._pid)
        if process is None:
            return False
        self._supervisor = process.parent
        self._account = account_of(self._pid)
        return True

    def _look(self) -> Mapping[int, _Process]:
        now = self._clock()
        if now - self._whole_at >= WHOLE_SECONDS:
            self._whole_at = now
            self._pids = frozenset(self._whole())
        else:
            self._pids |= set(_young(self._pids))
        found = {pid: process for pid in self._pids if (process := _read(pid))}
        self._pids = frozenset(found)
        return found

    def _whole(self) -> Iterator[int]:
        assert self._account is not None
        members = self._account.members()
        return iter(members) if members is not None else descendants(self._supervisor)

    def _tree_seconds(self, processes: Mapping[int, _Process]) -> float:
        """What the tree has used, which never gets less: a dead child's time is its parent's, and
        an orphan's parent is the supervisor."""
        supervisor = _read(self._supervisor)
        orphans = supervisor.children if supervisor else 0.0
        return orphans + sum(one.seconds for one in processes.values())

    def _rate(self, used: float) -> float | None:
        now, before = self._clock(), self._before
        self._before = (now, used)
        if before is None or now <= before[0]:
            return None
        rate = 100 * (used - before[1]) / (now - before[0])
        # A child that was found late brings the time from before with it.
        return min(max(0.0, rate), 100.0 * (os.cpu_count() or 1))


def _young(pids: frozenset[int]) -> Iterator[int]:
    """The children of first threads, which is where nearly all children come from."""
    for pid in pids:
        with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb", 0) as file:
            yield from map(int, file.read().split())


def _read(pid: int) -> _Process | None:
    """A process out of /proc; None if it is gone, or dead and waited for by nobody yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb", 0) as file:
            # The name in parentheses may hold anything, also spaces and parentheses.
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    user, system, child_user, child_system = map(int, words[11:15])
    children = child_user + child_system
    return _Process(
        parent=int(words[1]),
        seconds=(user + system + children) / TICK,
        children=children / TICK,
        memory=int(words[21]) * PAGE,
    )
