"""The folder that one `evq up` serves: its lock, its login, and the record of what runs.

<store>/lock       see core/sdk/running.py, and so for up.json
<store>/up.json
<store>/token      the login of the server, made once
<store>/nats/      the event log (JetStream)
<store>/logs/      what each process said
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ...core.errors import AlreadyUp, UsageError
from ...core.sdk import running
from ...core.sdk.identity import Identity, myself
from ...core.sdk.running import Running, Up

_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "afs")
_VOLATILE = ("tmpfs", "ramfs")
_LOCK_TRIES = 20
_LOCK_PAUSE = 0.05


class Store(msgspec.Struct, frozen=True):
    """A store on disk, by its folder."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def nats(self) -> Path:
        return self.path / "nats"

    @property
    def record(self) -> Path:
        return self.path / "up.json"

    def prepare(self) -> None:
        """Make the folders, readable by their owner only. Raises `UsageError` if it cannot."""
        try:
            for folder in (self.path, self.nats, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"the store {self.path} cannot be made",
                why=str(error),
                fix="evq up --store DIR, with a folder that you may write",
            ) from error

    def token(self) -> str:
        """The login of this store's server, made on first use."""
        path = self.path / "token"
        with contextlib.suppress(FileNotFoundError):
            path.chmod(0o600)
            if kept := path.read_text(encoding="ascii").strip():
                return kept
        made = secrets.token_urlsafe(32)
        _write(path, made.encode())
        return made

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only one who serves this store. Raises `AlreadyUp` if another does."""
        with (self.path / "lock").open("a+b", buffering=0) as lock:
            for _ in range(_LOCK_TRIES):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if (holder := self.holder()) and holder.alive():
                    raise self._taken(holder)
                time.sleep(_LOCK_PAUSE)  # somebody only looks, or has not signed yet
            else:
                raise self._taken(self.holder())
            lock.truncate(0)
            lock.write(msgspec.json.encode(myself()))
            yield

    def _taken(self, holder: Identity | None) -> AlreadyUp:
        up = running.recorded(self.path)
        where = f" at {up.url}" if up and up.process == holder else ""
        return AlreadyUp(
            f"the store {self.path} is already up{where}",
            why=f"process {holder.pid} serves it" if holder else "another process serves it",
            fix=f"use it as it is, or evq down --store {self.path}",
        )

    def holder(self) -> Identity | None:
        """Who serves this store, also while it starts or stops; `None` if nobody does."""
        return running.holder(self.path)

    def up(self) -> Up | None:
        """What runs, if this store is served and ready."""
        return running.up(self.path)

    def left_behind(self) -> tuple[Running, ...]:
        """The processes that a killed `evq up` may have left. Ask only while holding the store."""
        recorded = running.recorded(self.path)
        return recorded.processes if recorded else ()

    def last_port(self) -> int | None:
        """The port of the `evq up` that was killed here, where clients may still call."""
        recorded = running.recorded(self.path)
        port = recorded.url.rpartition(":")[2] if recorded else ""
        return int(port) if port.isdigit() else None

    def publish(self, up: Up) -> None:
        """Say what runs, in one step."""
        _write(self.record, msgspec.json.format(msgspec.json.encode(up)))

    def withdraw(self) -> None:
        """Nothing runs any more."""
        self.record.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for folder, _, files in os.walk(self.path):
            for name in files:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
        return total


def _write(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def filesystem(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by the text of `/proc/self/mountinfo`."""
    best, kind = "", ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        inside = path == Path(point) or Path(point) in path.parents
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def check_disk(path: Path, mounts: str) -> str | None:
    """A warning about the disk under the store, or `None`.

    Raises `UsageError` for a network file system: neither its locks nor its `fsync` hold what
    JetStream needs, and a corrupt log is worse than no log.
    """
    kind = filesystem(path, mounts)
    if kind in _REMOTE:
        raise UsageError(
            f"the store {path} lies on a network file system",
            why=f"it is mounted as {kind}, which JetStream does not support",
            fix="evq up --store /var/tmp/evq, or another folder on a disk of this machine",
        )
    if kind in _VOLATILE:
        return f"the store {path} lies in memory ({kind}): it is gone after a reboot"
    return None
