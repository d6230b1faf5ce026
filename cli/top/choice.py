"""Which rows of a table are shown, and in which order."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.sdk.live import LiveFleet
from .tabs import Tab

MOST = 500
"""Rows that a table has at most: nobody reads more, and a terminal is slow."""


class Choice(msgspec.Struct, frozen=True):
    """What the reader wants of a table: rows with all words of `filter`, sorted by the field at
    `sort`, or in their usual order."""

    filter: str = ""
    sort: int | None = None
    reverse: bool = False

    def sorted_by_next(self, tab: Tab) -> Choice:
        """Sorted by the next field; after the last one in the usual order."""
        following = 0 if self.sort is None else self.sort + 1
        sort = following if following < len(tab.fields) else None
        return msgspec.structs.replace(self, sort=sort, reverse=False)


class Chosen(msgspec.Struct, frozen=True):
    """The rows, and how many there are that the filter lets pass."""

    items: Sequence[Any]
    total: int


def choose(tab: Tab, choice: Choice, fleet: LiveFleet) -> Chosen:
    """The rows of a table that are to be shown."""
    wanted = choice.filter.lower().split()
    every = bool(wanted) or choice.sort is not None
    items = tab.items(fleet, every)
    if wanted:
        items = [item for item in items if _has(tab.words(item).lower(), wanted)]
    total = len(items)
    if choice.sort is not None:
        value = tab.fields[choice.sort].value
        pick = heapq.nlargest if choice.reverse else heapq.nsmallest
        return Chosen(pick(MOST, items, key=value), total)
    return Chosen(list(reversed(items))[:MOST] if choice.reverse else items[:MOST], total)


def _has(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)
