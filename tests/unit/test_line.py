"""Places in a line: whoever is put between two stands between them, whatever came before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evq.core.queueing.line import Spot, Standing, spots_between

standings = st.builds(
    Standing,
    task=st.uuids().map(str),
    priority=st.integers(0, 9),
    rank=st.one_of(st.integers(1, 1000).map(float), st.floats(-1e6, 1e6)),
)


def key(one: Standing) -> tuple[int, float]:
    return -one.priority, one.rank


@given(
    st.lists(standings, max_size=6, unique_by=key),
    st.integers(0, 6),
    st.integers(0, 9),
    st.integers(1, 4),
)
def test_they_stand_where_they_were_put(
    line: list[Standing], place: int, priority: int, count: int
) -> None:
    line = sorted(line, key=key)
    place = min(place, len(line))
    ahead = line[place - 1] if place else None
    behind = line[place] if place < len(line) else None
    spots = spots_between(ahead, behind, priority, count)
    if spots is None:
        assert ahead and behind and ahead.priority == behind.priority
        return
    new = [
        Standing(f"new {number}", spot.priority, 2e6 + number if spot.rank is None else spot.rank)
        for number, spot in enumerate(spots)
    ]
    after = sorted([*line, *new], key=key)
    assert after == [*line[:place], *new, *line[place:]]


@given(st.integers(0, 9), st.lists(standings, min_size=1, max_size=2))
def test_a_priority_that_fits_is_kept(priority: int, line: list[Standing]) -> None:
    ahead = max(line, key=lambda one: one.priority)
    behind = min(line, key=lambda one: one.priority)
    spots = spots_between(ahead, behind, priority, 1)
    if spots and behind.priority <= priority <= ahead.priority:
        assert spots[0].priority == priority


def test_alone_it_keeps_all() -> None:
    assert spots_between(None, None, 3, 1) == [Spot(3, None)]


def test_the_front_takes_on_a_higher_priority() -> None:
    first = Standing("a", 7, 10.0)
    assert spots_between(None, first, 5, 2) == [Spot(7, 8.0), Spot(7, 9.0)]
    assert spots_between(None, first, 9, 1) == [Spot(9, None)]


def test_the_back_takes_on_a_lower_priority() -> None:
    assert spots_between(Standing("a", 5, 10.0), None, 9, 1) == [Spot(5, None)]


def test_no_room() -> None:
    from math import nextafter

    ahead = Standing("a", 5, 1000.0)
    assert spots_between(ahead, Standing("b", 5, nextafter(1000.0, 2000.0)), 5, 1) is None
