"""What every cache offers to be kept small, and what goes first when it is too large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in a cache. `bytes` is what its removal frees, `used` when it was used last, in
    seconds since 1970; `in_use` is what it looked like then: only `remove` knows for sure."""

    kind: str
    name: str
    bytes: int
    used: float
    in_use: bool = False


Choose = Callable[[Iterable[Entry]], Iterable[Entry]]
"""Which entries are to go; none that is in use."""


class PrunableCache(Protocol):
    """A cache whose entries can be listed and removed; several processes may do so at once."""

    kind: str

    def entries(self) -> list[Entry]:
        """What is in it now; nothing if it is not there."""
        ...

    def remove(self, name: str) -> bool:
        """Remove an entry, unless it is in use; whether it is gone."""
        ...

    def sweep(self) -> None:
        """Remove what nobody will ever use, such as what a killed builder left."""
        ...


def surplus(
    entries: Iterable[Entry], total: int | None, kinds: Mapping[str, int]
) -> Iterator[Entry]:
    """What has to go so that everything takes at most `total` and each kind its own share: the
    least recently used first, nothing that is in use. None is no bound."""
    left = sorted(entries, key=lambda entry: entry.used)
    for kind, most in kinds.items():
        own = [entry for entry in left if entry.kind == kind]
        for entry in _oldest(own, most):
            left.remove(entry)
            yield entry
    if total is not None:
        yield from _oldest(left, total)


def unused(entries: Iterable[Entry], before: float) -> Iterator[Entry]:
    """What was used last before a moment, in seconds since 1970, and is not in use."""
    return (entry for entry in entries if entry.used < before and not entry.in_use)


def _oldest(entries: Sequence[Entry], most: int) -> Iterator[Entry]:
    """The first of `entries` that may go, until the rest takes at most `most`."""
    excess = sum(entry.bytes for entry in entries) - most
    for entry in entries:
        if excess <= 0:
            return
        if not entry.in_use:
            excess -= entry.bytes
            yield entry


def prune(caches: Iterable[PrunableCache], choose: Choose) -> list[Entry]:
    """Remove what is chosen; returns what is gone.

    What frees nothing while something else holds it, such as a package that an environment
    links, is asked again when that is gone: hence in rounds.
    """
    by_kind = {cache.kind: cache for cache in caches}
    for cache in by_kind.values():
        cache.sweep()
    gone: list[Entry] = []
    stuck: set[tuple[str, str]] = set()
    while True:
        entries = [
            entry if (entry.kind, entry.name) not in stuck else replace(entry, in_use=True)
            for cache in by_kind.values()
            for entry in cache.entries()
        ]
        chosen = list(choose(entries))
        for entry in chosen:
            if by_kind[entry.kind].remove(entry.name):
                gone.append(entry)
            else:
                stuck.add((entry.kind, entry.name))
        if not chosen:
            return gone
