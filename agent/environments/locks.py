"""Locks between the agents of one machine, on a file or on a folder itself."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType

_POLL = 0.05
"""Seconds between two tries for a lock that another process holds."""


class Hold:
    """A lock that is kept until `release`, or until every process that has `fd` is gone.

    A supervisor that is to outlive the agent inherits `fd`, and the lock lives on with it.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


def try_hold(path: Path, *, shared: bool, create: bool = False) -> Hold | None:
    """Lock `path`, or return None when it is gone or another has it in a way that excludes us.

    A folder is locked as it is; a lock file is made if `create` is set.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    try:
        held = Hold(os.open(path, flags, 0o666))
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held.fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        # The path may have been removed, and even made anew, between the open and the lock:
        # a lock on what is no longer there protects nothing.
        if os.path.samestat(os.fstat(held.fd), path.stat()):
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    held.release()
    return None


def held_inodes() -> set[int]:
    """The inodes of all files on which some process holds a lock now.

    For lists, not for decisions: from inside a container, others' locks are not seen.
    """
    try:
        with open("/proc/locks") as file:
            return {int(line.split()[-3].split(":")[2]) for line in file if "FLOCK" in line}
    except OSError:
        return set()


async def hold(path: Path) -> Hold:
    """Lock the file at `path` for us alone, making it if needed; waits as long as it takes."""
    # Asked for again and again instead of waited for in a thread: a thread inside flock cannot
    # be cancelled, so an aborted task would hold a worker of the pool, then the lock itself.
    while True:
        if (held := try_hold(path, shared=False, create=True)) is not None:
            return held
        await asyncio.sleep(_POLL)
