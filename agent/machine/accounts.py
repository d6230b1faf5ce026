"""The kernel's account of an attempt that has a cgroup of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from ..supervision import cgroup

USED_KINDS = ("cpuacct", "memory")
"""The hierarchies of version 1 that are read."""


class Account(msgspec.Struct, frozen=True):
    """The folders of a cgroup, by what is told there; without any, nothing is told."""

    cpu: str | None = None
    memory_folder: str | None = None
    version: Literal[1, 2] = 2

    def cpu_seconds(self) -> float | None:
        """Processor time used so far."""
        if self.cpu is None:
            return None
        try:
            if self.version == 1:
                return int(_text(f"{self.cpu}/cpuacct.usage")) / 1e9
            return _named(f"{self.cpu}/cpu.stat").get("usage_usec", 0) / 1e6
        except (OSError, ValueError):
            return None

    def memory(self) -> int | None:
        """Bytes in use, without files that the kernel may drop at any moment."""
        if self.memory_folder is None:
            return None
        usage, stale = (
            ("memory.usage_in_bytes", "total_inactive_file")
            if self.version == 1
            else ("memory.current", "inactive_file")
        )
        try:
            used = int(_text(f"{self.memory_folder}/{usage}"))
            return max(0, used - _named(f"{self.memory_folder}/memory.stat").get(stale, 0))
        except (OSError, ValueError):
            return None

    def members(self) -> list[int] | None:
        """Its processes; None without a cgroup of its own."""
        folder = self.memory_folder or self.cpu
        return None if folder is None else cgroup.members(folder)


def account_of(pid: int, proc: Path = Path("/proc")) -> Account:
    """The account of the cgroups that a process is in and we are not."""
    mounted = _mounts(proc)
    ours, theirs = _cgroups(proc / "self"), _cgroups(proc / str(pid))
    own = {
        kind: os.path.normpath(f"{place}/{path.removeprefix(root) if root != '/' else path}")
        for kind, path in theirs.items()
        if path != ours.get(kind) and (found := mounted.get(kind)) is not None
        for place, root in (found,)
    }
    if "" in own and os.path.exists(f"{own['']}/memory.current"):
        return Account(own[""], own[""], 2)
    return Account(own.get("cpuacct"), own.get("memory"), 1)


def _cgroups(process: Path) -> dict[str, str]:
    """A process's cgroup in each hierarchy; that of version 2 has an empty name."""
    found: dict[str, str] = {}
    try:
        lines = (process / "cgroup").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, kinds, path = line.split(":", 2)
        found |= dict.fromkeys(kinds.split(","), path)
    return found


@cache
def _mounts(proc: Path) -> Mapping[str, tuple[str, str]]:
    """Where each hierarchy is mounted, and which of its folders is the root of the mount."""
    found: dict[str, tuple[str, str]] = {}
    try:
        lines = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.split()
        kind, _, options = words[words.index("-") + 1 :][:3]
        root, mounted = words[3], words[4]
        if kind == "cgroup2":
            found[""] = (mounted, root)
        elif kind == "cgroup":
            for name in USED_KINDS:
                if name in options.split(","):
                    found[name] = (mounted, root)
    return found


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


def _named(path: str) -> dict[str, int]:
    """A file of names and numbers."""
    return {name: int(value) for name, value in map(str.split, _text(path).splitlines())}
