"""Who a process belongs to, as far as this machine's /proc tells."""

from __future__ import annotations

import os
import pwd
from functools import cache
from pathlib import Path

from .port import GpuProcess


def process(pid: int, memory: int | None) -> GpuProcess:
    """A process that has a GPU open, with its owner and its name."""
    folder = Path(f"/proc/{pid}")
    try:
        user = user_name(folder.stat().st_uid)
        name = (folder / "comm").read_text(errors="replace").strip()
    except OSError:
        user = name = ""
    return GpuProcess(pid=pid, memory=memory, user=user, name=name)


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    return os.path.exists(f"/proc/{pid}")


@cache
def user_name(uid: int) -> str:
    """The name of a user; its number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def variable(pid: int, name: str) -> str | None:
    """An environment variable that a process was started with, empty if it has none of that name;
    None if it is not to be seen: another user's process, or one that is gone."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    begin = os.fsencode(name) + b"="
    found = (word for word in environ.split(b"\0") if word.startswith(begin))
    return next((os.fsdecode(word[len(begin) :]) for word in found), "")
