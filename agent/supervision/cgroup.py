"""Cgroups as the kernel has them: entering, emptying and removing. Standard library only.

Supervisors and the forkserver use this out of its folder; `limits` decides what cgroups there are.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

MEMBERS = "cgroup.procs"


def enter(folders: Iterable[str]) -> None:
    """Move this process into these cgroups, one in each hierarchy. Raises `OSError`."""
    for folder in folders:
        with open(f"{folder}/{MEMBERS}", "wb", 0) as file:
            file.write(b"0")


def members(folder: str) -> list[int]:
    """The processes in a cgroup and in those below it; of one that is gone, none."""
    found: list[int] = []
    for place, _, _ in os.walk(folder):
        with suppress(OSError), open(f"{place}/{MEMBERS}", "rb", 0) as file:
            found += map(int, file.read().split())
    return found


def kill(folder: str) -> list[int]:
    """SIGKILL for every process in a cgroup; returns them."""
    found = members(folder)
    for pid in found:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return found


def remove(folder: str) -> bool:
    """Remove a cgroup and those below it; False while one of them has processes."""
    for place, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(place)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
