"""Which entries of the caches go first, and how a disk's floor is read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evq.agent.caches import Choose, Entry, prune, surplus, unused
from evq.agent.config import parse_kinds
from evq.agent.disk import Room, floor_bytes, room, tightest

GIB = 2**30


def entry(name: str, size: int, used: float, kind: str = "a", in_use: bool = False) -> Entry:
    return Entry(kind=kind, name=name, bytes=size, used=used, in_use=in_use)


@pytest.mark.parametrize(
    ("total", "kinds", "gone"),
    [
        (None, {}, ""),
        (100, {}, ""),
        (60, {}, ""),
        (59, {}, "o"),
        (45, {}, "om"),
        (0, {}, "omyx"),
        (None, {"b": 25}, "x"),
        (None, {"a": 0}, "omy"),
        (39, {"b": 25}, "xo"),
        (100, {"c": 0}, ""),
    ],
)
def test_the_least_recently_used_goes_first(
    total: int | None, kinds: Mapping[str, int], gone: str
) -> None:
    entries = [
        entry("y", 10, 30),
        entry("o", 10, 1),
        entry("m", 10, 20),
        entry("x", 20, 40, kind="b"),
        entry("held", 10, 0, kind="b", in_use=True),
    ]
    assert "".join(one.name for one in surplus(entries, total, kinds)) == gone


class Shelf:
    """A cache in memory. An entry of `later` is free only when what holds it has gone."""

    kind = "shelf"

    def __init__(self, sizes: dict[str, int], later: dict[str, str], refuses: str = "") -> None:
        self._sizes, self._later, self._refuses = sizes, later, refuses
        self.swept = 0

    def entries(self) -> list[Entry]:
        return [
            entry(name, size, number, self.kind, self._later.get(name) in self._sizes)
            for number, (name, size) in enumerate(self._sizes.items())
        ]

    def remove(self, name: str) -> bool:
        if name == self._refuses:
            return False
        del self._sizes[name]
        return True

    def sweep(self) -> None:
        self.swept += 1


def names(gone: list[Entry]) -> list[str]:
    return [one.name for one in gone]


def until(total: int) -> Choose:
    return partial(surplus, total=total, kinds={})


def test_what_nobody_used_for_long_goes_whatever_its_size() -> None:
    entries = [entry("old", 5, 1.0), entry("held", 5, 1.0, in_use=True), entry("new", 5, 3.0)]
    assert names(list(unused(entries, before=3.0))) == ["old"]
    shelf = Shelf({"package": 5, "environment": 5}, {"package": "environment"})
    assert names(prune([shelf], partial(unused, before=9.0))) == ["environment", "package"]


def test_what_becomes_free_by_pruning_is_pruned_too() -> None:
    shelf = Shelf({"package": 5, "environment": 5, "other": 5}, {"package": "environment"})
    assert names(prune([shelf], until(5))) == ["environment", "other"]
    shelf = Shelf({"package": 5, "environment": 5}, {"package": "environment"})
    assert names(prune([shelf], until(0))) == ["environment", "package"]
    assert shelf.swept == 1


def test_what_will_not_go_is_left_and_others_go_instead() -> None:
    shelf = Shelf({"held": 5, "old": 5, "new": 5}, {}, refuses="held")
    assert names(prune([shelf], until(10))) == ["old"]


def test_the_bounds_of_single_kinds() -> None:
    assert parse_kinds("") == {}
    assert parse_kinds("environments=2GiB, code=500k") == {"environments": 2 * GIB, "code": 512000}


@pytest.mark.parametrize(
    ("floor", "total", "expected"),
    [
        ("auto", 1000 * GIB, 2 * GIB),
        ("auto", 20 * GIB, GIB),
        ("5%", 100 * GIB, 5 * GIB),
        ("0%", 100 * GIB, 0),
        (str(7 * GIB), GIB, 7 * GIB),
    ],
)
def test_a_floor(floor: str, total: int, expected: int) -> None:
    assert floor_bytes(floor, total) == expected


def test_what_was_low_needs_a_little_more_to_be_enough() -> None:
    low, edge, well = (Room("/", free, 1000) for free in (999, 1050, 1100))
    assert (low.low, low.enough, low.missing) == (True, False, 101)
    assert (edge.low, edge.enough) == (False, False)
    assert (well.low, well.enough, well.missing) == (False, True, 0)
    assert str(Room("/data", GIB, 2 * GIB)) == "disk: 1GiB free at /data, floor 2GiB"


def test_the_room_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    there = room(tmp_path / "not/yet", "0%")
    assert there.free > 0 and not there.low
    places: Any = (tmp_path, tmp_path / "b")
    assert tightest(places, "100%").low
