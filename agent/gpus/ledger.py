"""Who has which GPUs on this machine: one file per claim, shared by all agents of the machine.

A claim's file is locked (flock) by the agent that made it and by the supervisors of its attempt,
all through one open file. So the kernel keeps the books: the lock ends with the last process that
could use the GPUs, however the agent died, and no sooner. A file without a lock is *left*: its
processes are dead, but the log may still show its attempt as live. Its GPUs are free again when
somebody has seen to it that the log does not (see `settle`) and removed the file.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

BUSY_SECONDS = 0.05
"""How long another agent may hold the ledger. It needs a hundredth of that, unless it is
stopped in the middle, and then we rather claim nothing than wait for it."""

PAUSE = 0.002
SUFFIX = ".claim"

FOLDER = Path("/tmp/evq-gpus")
"""The same for all agents of a machine, whoever runs them and whatever their TMPDIR is."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """GPUs in use: by which task, whose queue message is `hint`, of which run of which agent.

    `gpu_memory` is in bytes on each, null if nobody else may use them. `token` is the sequence of
    the `claimed` event, 0 until the log is known to have it.
    """

    task: str
    hint: int
    agent: str
    instance: str
    gpus: tuple[str, ...]
    gpu_memory: int | None = None
    token: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from all others: a run has a queue message in one slot at a time."""
        return self.instance, self.hint


class Busy(Exception):
    """Another agent holds the ledger for too long."""


class Held:
    """A claim of ours. Its descriptor is for the supervisors of the attempt, too."""

    def __init__(self, path: Path, claim: Claim, descriptor: int) -> None:
        self.claim = claim
        self.descriptor = descriptor
        self._path = path

    def confirm(self, token: int) -> None:
        """The log has the claim."""
        claimed = msgspec.structs.replace(self.claim, token=token)
        os.pwrite(self.descriptor, msgspec.json.encode(claimed), 0)

    def release(self) -> None:
        """The attempt is over, and the log knows it."""
        if self.descriptor >= 0:
            self._path.unlink(missing_ok=True)
            self.leave()

    def leave(self) -> None:
        """The attempt is over, but whether the log knows it is not known: see `Left`."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Left(msgspec.Struct, frozen=True):
    """A claim that nobody holds any more; `age` in seconds since it was made."""

    path: Path
    claim: Claim
    age: float

    def remove(self) -> None:
        """The log knows that its attempt is over."""
        _discard(self.path)


class Ledger:
    """The claims on the GPUs of this machine."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self._made = 0

    @contextmanager
    def open(self) -> Iterator[OpenLedger]:
        """Look at the ledger while nobody else changes it. Raises `Busy`, or `OSError`."""
        with suppress(FileExistsError):
            self.folder.mkdir()
            self.folder.chmod(0o1777)
        descriptor = _open(self.folder / "lock")
        try:
            end = time.monotonic() + BUSY_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Busy(str(self.folder)) from None
                    time.sleep(PAUSE)
            yield OpenLedger(self)
        finally:
            os.close(descriptor)

    def new_path(self, instance: str) -> Path:
        """Where the next claim of an agent's run is written."""
        self._made += 1
        return self.folder / f"{instance}-{self._made}{SUFFIX}"


class OpenLedger:
    """The ledger while it is ours."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.held: list[Claim] = []
        """What somebody's processes may be using, ours included."""
        self.left: list[Left] = []
        for path in ledger.folder.glob(f"*{SUFFIX}"):
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        with open(descriptor, "rb") as file:
            try:
                claim = msgspec.json.decode(file.read(), type=Claim)
            except msgspec.DecodeError:
                # Its writer was killed before it had named what it wants, or it was discarded.
                _discard(path)
                return
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                self.held.append(claim)
                return
            age = time.time() - os.fstat(file.fileno()).st_mtime
            self.left.append(Left(path, claim, age))

    @property
    def claims(self) -> list[Claim]:
        """All whose GPUs are not free."""
        return [*self.held, *(left.claim for left in self.left)]

    def write(self, claim: Claim) -> Held:
        """Enter a claim, which is held from now on. Raises `OSError`."""
        path = self._ledger.new_path(claim.instance)
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, msgspec.json.encode(claim))
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return Held(path, claim, descriptor)


def _open(path: Path) -> int:
    """A file that every user of the machine may lock."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        # The kernel refuses O_CREAT for another user's file in a folder that all may write to.
        return os.open(path, flags)
    descriptor = os.open(path, flags | os.O_CREAT)
    os.fchmod(descriptor, 0o666)
    return descriptor


def _discard(path: Path) -> None:
    """Make a claim mean nothing. A file of another user's cannot be removed, but emptied."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        with suppress(OSError):
            os.truncate(path, 0)
