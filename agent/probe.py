"""What this machine has. `machine` looks at what it does."""

from __future__ import annotations

import os
import platform
from contextlib import suppress

import psutil


def cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """The machine's memory."""
    return int(psutil.virtual_memory().total)


def platform_text() -> str:
    """The operating system and the machine's architecture."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def end_leftovers(variable: str, value: str) -> int:
    """Kill processes that carry an environment variable; returns how many there were.

    A supervisor ends its processes when its agent dies, and a forkserver those of a supervisor;
    this finds what is left when both were killed at once.
    """
    ended = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(variable) == value:
                process.kill()
                ended += 1
    return ended
