"""Whether the kernel killed processes of a container for want of memory: its own count of that.

An exit code of 137 says that something sent SIGKILL, not who. The kernel counts, for each control
group, the processes that it killed because the group was over its limit.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

CGROUPS = Path("/sys/fs/cgroup")


class MemoryCount(msgspec.Struct, frozen=True):
    """A control group's files: one that counts kills, and one that holds its limit."""

    kills_file: Path
    limit_file: Path

    def kills(self) -> int:
        """How many processes were killed so far; 0 where that cannot be seen."""
        try:
            lines = self.kills_file.read_text().splitlines()
        except OSError:
            return 0
        fields = dict(line.split() for line in lines if len(line.split()) == 2)
        return int(fields.get("oom_kill", 0))

    def evidence(self) -> str:
        """What was seen, in words; empty if nothing was killed."""
        kills = self.kills()
        if not kills:
            return ""
        limit = _read_limit(self.limit_file)
        return (
            f"the kernel killed {kills} of its processes for want of memory"
            f"{f', the container may use {limit} bytes' if limit else ''}"
            f" ({self.kills_file.name}: oom_kill {kills})"
        )


def memory_count(pid: int) -> MemoryCount:
    """The files of the control group that a process is in."""
    group = ""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            folder = CGROUPS / "memory" / path.lstrip("/")
            return MemoryCount(folder / "memory.oom_control", folder / "memory.limit_in_bytes")
        if not controllers:
            group = path
    folder = CGROUPS / group.lstrip("/")
    return MemoryCount(folder / "memory.events", folder / "memory.max")


def _read_limit(file: Path) -> int | None:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):  # version 2 says "max"
        return None
    return limit if limit < 2**60 else None
