"""Reading a task's code without being led out of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from ...core.addresses import names_in
from ...core.errors import EnvironmentFailed

MAX_BYTES = 32 * 1024 * 1024
"""The largest file that is read to decide on an environment."""


class Tree:
    """The folder of a task's code. Paths are relative to it; what is read is remembered.

    The agent can read more than the task's author: a `requirements.txt` that is a link to
    another user's file would show that file in the task's log. Such links are refused, as are
    devices and pipes, which could hold the agent for ever.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._read: dict[str, str] = {}
        self.secrets: set[str] = set()

    def find(self, path: str) -> Path | None:
        """Where `path` really is, or None if nothing is there."""
        try:
            real = (self.root / path).resolve()
            there, looping = real.exists(), real.is_symlink()
        except (RuntimeError, OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.ENAMETOOLONG:
                return None
            raise EnvironmentFailed(f"{path} cannot be read", why=str(error)) from error
        if looping:
            raise EnvironmentFailed(f"{path} cannot be read", why="it is a link to itself")
        if not real.is_relative_to(self.root):
            raise EnvironmentFailed(
                f"{path} is not read",
                why="it leads out of the task's code",
                fix="put a copy of the file into the repository",
            )
        return real if there else None

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None if nothing is there."""
        if (real := self.find(path)) is None:
            return None
        content = _read_regular(path, real)
        self.note(os.path.normpath(path), content)
        return content

    def read_text(self, path: str) -> str | None:
        """The content of a UTF-8 file, or None if nothing is there."""
        if (content := self.read(path)) is None:
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise EnvironmentFailed(f"{path} cannot be read", why="it is not UTF-8 text") from error

    def read_toml(self, path: str) -> dict[str, Any] | None:
        """The content of a TOML file, or None if nothing is there."""
        text = self.read_text(path)
        return None if text is None else parse_toml(text, path)

    def note(self, name: str, content: bytes) -> None:
        """Remember `content` under `name` in the digest, in place of what stood there."""
        self._read[name] = hashlib.sha256(content).hexdigest()

    def refer(self, *texts: str) -> None:
        """Remember the secrets that `texts` refer to as `${NAME}`."""
        self.secrets.update(name for text in texts for name in names_in(text))

    def forget(self, path: str) -> None:
        """Leave a file that was read out of the digest: it decides nothing."""
        self._read.pop(os.path.normpath(path), None)

    def digest(self) -> str:
        """One digest of the names and contents of all that was read."""
        return hashlib.sha256(msgspec.json.encode(sorted(self._read.items()))).hexdigest()


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """`text` as TOML; raises `EnvironmentFailed` that names the file and the place."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentFailed(f"{name} is not valid TOML", why=str(error)) from error


def upward(folder: str) -> list[str]:
    """`folder` and every folder above it, up to the root of the tree, which is "."."""
    parts = Path(os.path.normpath(folder)).parts
    return [os.path.join(".", *parts[:depth]) for depth in range(len(parts), -1, -1)]


def _read_regular(path: str, real: Path) -> bytes:
    # Not a blocking open: of a pipe it would never return.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(os.open(real, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise EnvironmentFailed(f"{path} is not read", why="it is not a regular file")
            if facts.st_size > MAX_BYTES:
                raise EnvironmentFailed(
                    f"{path} is not read", why=f"it is larger than {MAX_BYTES >> 20} MiB"
                )
            return file.read(MAX_BYTES)
    except OSError as error:
        raise EnvironmentFailed(f"{path} cannot be read", why=error.strerror or "") from error
