"""What runs on this machine: the record that `evq up` keeps in its store, and who wrote it.

    <store>/lock       held (flock) as long as `evq up` lives; names it
    <store>/up.json    where the server is, its login and its processes; there while all is up

The lock is the truth about whether a store is served; `up.json` without the lock is what a
killed `evq up` left behind.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TypeVar

import msgspec

from .identity import Identity

T = TypeVar("T")


class Running(msgspec.Struct, frozen=True):
    """One process of the tree. `since` is Unix time; `restarts` counts since `evq up` began."""

    name: str
    state: str
    since: float
    restarts: int
    process: Identity | None = None
    last_exit: int | None = None


class Up(msgspec.Struct, frozen=True, kw_only=True):
    """What `up.json` says. The processes stand in the order in which they are stopped."""

    url: str
    token: str
    ca: str | None
    listen: str
    version: str
    nats_version: str
    sync: str
    started_at: str
    process: Identity
    processes: tuple[Running, ...]
    ui: str = ""
    """Where the dashboard is; without its token."""


def up(store: Path) -> Up | None:
    """What runs, if the store in this folder is served and ready."""
    known = recorded(store)
    return known if known and known.process == holder(store) else None


def recorded(store: Path) -> Up | None:
    """What `up.json` says, also if nobody serves the store any more."""
    try:
        return _decode((store / "up.json").read_bytes(), Up)
    except OSError:
        return None


def holder(store: Path) -> Identity | None:
    """Who serves the store, also while it starts or stops; `None` if nobody does."""
    try:
        with (store / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _decode(lock.read(), Identity)
    except OSError:
        return None
    return None


def _decode(raw: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError:
        return None
