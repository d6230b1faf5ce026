"""Files that a client logs, in a folder of the attempt's own.

A task may put links where it likes, and in a container this process sees more than the task does:
no link is followed, and nothing but plain files and folders is touched.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .refusal import Refusal

FOLDER = "mlartifacts"
"""In the task's own folder, as MLflow's server calls it."""

_PLAIN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> list[str]:
    """The names in a path. Raises `Refusal` for one that leads elsewhere."""
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") or "\0" in part or len(part.encode()) > 255 for part in parts):
        raise Refusal(f"{path!r} is no path of an artifact")
    return parts


@contextmanager
def opened(root: Path, parts: list[str], *, make: bool = False) -> Iterator[int]:
    """A descriptor of the folder `parts` below `root`. Raises `Refusal`."""
    try:
        here = os.open(root, _PLAIN)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o777, dir_fd=here)
                there = os.open(part, _PLAIN, dir_fd=here)
                os.close(here)
                here = there
            yield here
        finally:
            os.close(here)
    except OSError as error:
        raise _not_there("/".join(parts), error) from None


class Upload:
    """A file on its way in; it has its name when it is complete."""

    def __init__(self, folder: int, name: str) -> None:
        self._folder, self._name = folder, name
        self._partial = f".{secrets.token_hex(8)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self._partial, flags, 0o666, dir_fd=folder), "wb")

    def write(self, data: bytes) -> None:
        """The next piece."""
        self._file.write(data)

    def close(self, *, complete: bool) -> None:
        """Put it in its place, or throw it away."""
        self._file.close()
        if complete:
            os.replace(self._partial, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            os.unlink(self._partial, dir_fd=self._folder)


def read(root: Path, parts: list[str]) -> tuple[Any, int]:
    """A file to read from, and its size. Raises `Refusal`."""
    with opened(root, parts[:-1]) as folder:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.fdopen(os.open(parts[-1], flags, dir_fd=folder), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise Refusal(
            f"there is no file {'/'.join(parts)!r}", "RESOURCE_DOES_NOT_EXIST", status=404
        )
    return file, found.st_size


def listed(root: Path, parts: list[str]) -> list[dict[str, Any]]:
    """What is in a folder, as MLflow lists it; nothing if there is no such folder."""
    found = []
    with suppress(Refusal), opened(root, parts) as folder:
        for name in sorted(os.listdir(folder)):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                found.append({"path": name, "is_dir": True})
            elif stat.S_ISREG(status.st_mode):
                found.append({"path": name, "is_dir": False, "file_size": status.st_size})
    return found


def _not_there(path: str, error: OSError) -> Refusal:
    return Refusal(
        f"{path!r} cannot be used as an artifact: {error.strerror}",
        "RESOURCE_DOES_NOT_EXIST",
        status=404,
    )
