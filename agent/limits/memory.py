"""Deaths by memory, told with evidence.

An exit status of -9 or 137 says that somebody sent SIGKILL, not who. The kernel says who it ended
for want of memory: in the counters of a cgroup, in `/proc/vmstat`, and in its log, by pid.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ...core.units import size_text
from .cgroups import Cgroup, counter

KILLED = (-9, 128 + 9)
"""How a command ends that was killed, and a shell whose command was."""

CHOSEN = re.compile(rb"oom-kill:.*task_memcg=([^,]*),task=(.*),pid=(\d+),")
KILLED_BY_KERNEL = re.compile(rb"Killed process (\d+) \((.*?)\)(?:.*?anon-rss:(\d+)kB)?")
"""The kernel's log has a line for the process that it chose, and one for its end."""

RECORD_BYTES = 8192
MOST_VICTIMS = 1000
MOST_LOOKS = 1000

FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Elsewhere the kernel's log speaks of other pids than we do."""


class Victim(msgspec.Struct, frozen=True):
    """A process that the kernel's log says it ended; `seen` is when we read of it."""

    pid: int
    name: str
    rss: int
    seen: float
    cgroup: str = ""

    def __str__(self) -> str:
        size = f", {size_text(self.rss)}" if self.rss else ""
        return f"{self.name} (pid {self.pid}{size})"


class MemoryWatch:
    """Reads what the kernel says of want of memory on this machine."""

    def __init__(self, proc: Path = Path("/proc"), kernel_log: Path = Path("/dev/kmsg")) -> None:
        self._vmstat = str(proc / "vmstat")
        self.running: set[int] = set()
        """The commands of the attempts that run now: none of them is another's dead child."""
        self._victims: dict[int, Victim] = {}
        self._looks = [(time.monotonic(), self._count())]
        self._log = -1
        with suppress(OSError):
            if os.stat(proc / "self/ns/pid").st_ino == FIRST_PID_NAMESPACE:
                self._log = os.open(kernel_log, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.lseek(self._log, 0, os.SEEK_END)

    def _count(self) -> int:
        return counter(self._vmstat, "oom_kill")

    def look(self) -> None:
        """Take in what has happened; to be called every few seconds."""
        count = self._count()
        # A look that saw what the last two saw moves the later one on.
        if [seen for _, seen in self._looks[-2:]] == [count, count]:
            self._looks.pop()
        self._looks.append((time.monotonic(), count))
        del self._looks[:-MOST_LOOKS]
        self._read_log()

    def _read_log(self) -> None:
        while self._log >= 0:
            try:
                record = os.read(self._log, RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # the oldest records were overwritten: the next read goes on behind
            except OSError:
                os.close(self._log)
                self._log = -1
                return
            if found := CHOSEN.search(record):
                self._note(int(found[3]), found[2], 0, found[1].decode(errors="replace"))
            elif found := KILLED_BY_KERNEL.search(record):
                before = self._victims.get(int(found[1]))
                rss = int(found[3] or 0) * 1024
                self._note(int(found[1]), found[2], rss, before.cgroup if before else "")

    def _note(self, pid: int, name: bytes, rss: int, cgroup: str) -> None:
        text = name.decode(errors="replace")
        self._victims[pid] = Victim(pid, text, rss, time.monotonic(), cgroup)
        if len(self._victims) > MOST_VICTIMS:
            del self._victims[next(iter(self._victims))]

    def kills_since(self, moment: float) -> int:
        """How many processes of this machine the kernel has ended since the last look before
        `moment`, in seconds of the monotonic clock."""
        before = [count for at, count in self._looks if at <= moment] or [self._looks[0][1]]
        return self._count() - before[-1]

    def evidence(self, exit_code: int, pid: int, began: float) -> str:
        """Why it is known that want of memory ended the command `pid`; empty if it is not.

        For a command without a memory limit of its own, which began at `began`.
        """
        if exit_code not in KILLED:
            return ""
        self._read_log()
        if self._log >= 0:
            return self._named(exit_code, pid, began)
        if kills := self.kills_since(began):
            return (
                f"ended by SIGKILL, which evq did not send, while the kernel ended {kills} "
                f"process{'es' * (kills > 1)} of this machine for want of memory (oom_kill in "
                "/proc/vmstat); its log, which would name them, is closed to this user"
            )
        return ""

    def _named(self, exit_code: int, pid: int, began: float) -> str:
        if exit_code < 0:
            victim = self._victims.pop(pid, None)
            return f"the kernel's log: {victim} was ended for want of memory" if victim else ""
        during = [
            victim
            for victim in self._victims.values()
            if victim.seen >= began and victim.pid not in self.running
        ]
        if not during:
            return ""
        self._victims.pop(during[-1].pid)
        return (
            f"ended with {exit_code}, a shell's word for SIGKILL, and the kernel's log says that "
            f"{during[-1]} was ended for want of memory in that time"
        )

    def evidence_of(self, cgroup: Cgroup) -> str:
        """Why it is known that an attempt's memory limit ended some of it; empty if none was."""
        if not cgroup.memory_kills:
            return ""
        self._read_log()
        own = [v for v in self._victims.values() if v.cgroup.endswith(f"/{cgroup.name}")]
        who = ", ".join(map(str, own)) or "a process of the attempt"
        return f"the kernel ended {who} for want of memory: {cgroup.memory_told()}"

    def close(self) -> None:
        """Read the kernel's log no more."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1
