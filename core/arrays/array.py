"""The members of an array: which there are, what they are called, and what each is told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import msgspec

from ..errors import UsageError
from ..ids import task_id

MOST_MEMBERS = 100_000

FORMS = "FROM-TO, such as 0-99, or FROM-TO%N where at most N of them are to run at once"

_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})(?:%(\d{1,9}))?\Z")
_INDEX = re.compile(r"\{index(?::0?(\d{1,2}))?\}")
_PART = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?\Z")


class Array(msgspec.Struct, frozen=True, omit_defaults=True):
    """The place of a task in an array: its `index`, from `first` on to `first + size - 1`. `most`
    is how many members may stand in their queue or run at once; null is no limit."""

    id: str
    index: int
    size: int
    first: int = 0
    most: int | None = None

    @property
    def place(self) -> int:
        """Its number among the members, from 0."""
        return self.index - self.first

    @property
    def indexes(self) -> range:
        """Those of all members."""
        return range(self.first, self.first + self.size)

    @property
    def text(self) -> str:
        """`0-99%8`."""
        return f"{self.first}-{self.indexes[-1]}" + (f"%{self.most}" if self.most else "")


def member_id(array: str, place: int) -> str:
    """The id of the task at a place in an array."""
    return task_id(hashlib.sha256(f"evq member\0{array}\0{place}".encode()).digest())


def parse_array(text: str) -> tuple[range, int | None]:
    """The indexes in `0-99%8`, and how many may run at once. Raises `UsageError`."""
    found = _RANGE.match(text)
    first, last = (int(found[1]), int(found[2])) if found else (1, 0)
    most = int(found[3]) if found and found[3] else None
    if last < first or most == 0 or last - first >= MOST_MEMBERS:
        raise UsageError(
            f"--array {text} is no array",
            why=f"it is {FORMS}; at most {MOST_MEMBERS:,} members are possible",
            fix="--array 0-99%8",
        )
    return range(first, last + 1), most


def parse_indexes(text: str) -> list[int]:
    """The indexes in `3-7,9`. Raises `UsageError`."""
    found: list[int] = []
    for word in text.split(","):
        part = _PART.match(word)
        if part is None or int(part[2] or part[1]) < int(part[1]):
            raise UsageError(f"{text!r} names no members of an array", fix="k3f9/3-7,9")
        found += range(int(part[1]), int(part[2] or part[1]) + 1)[:MOST_MEMBERS]
    return list(dict.fromkeys(found))


def index_text(indexes: Iterable[int]) -> str:
    """`3-7,9`, as `parse_indexes` reads it."""
    parts: list[list[int]] = []
    for index in sorted(set(indexes)):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(f"{low}-{high}" if high > low else f"{low}" for low, high in parts)


def with_index(text: str, index: int) -> str:
    """`text` with the index in the place of `{index}`, or with zeros before it for `{index:03}`."""
    return _INDEX.sub(lambda found: f"{index:0{int(found[1] or 0)}d}", text)
