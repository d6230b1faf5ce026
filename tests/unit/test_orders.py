"""What administrators ask of an agent, folded: the last word about each part of it counts."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from evq.core.events import DrainRequested, ResumeRequested
from evq.core.queueing.orders import Drain, Drains, drained_gpus, obey, whole

GPUS = st.lists(st.sampled_from("abcd"), unique=True, max_size=4).map(tuple)
ORDERS = st.lists(st.tuples(st.sampled_from((DrainRequested, ResumeRequested)), GPUS), max_size=12)


def fold(orders: list[tuple[type, tuple[str, ...]]]) -> Drains:
    drains: Drains = ()
    for number, (kind, gpus) in enumerate(orders):
        drains = obey(drains, number, "ann@host", kind("one", f"reason {number}", gpus))
    return drains


@given(ORDERS)
def test_each_part_is_as_the_last_order_about_it_says(
    orders: list[tuple[type, tuple[str, ...]]],
) -> None:
    """The same told a second time, part by part."""
    agent, gpus = False, dict.fromkeys("abcd", False)
    for kind, named in orders:
        drain = kind is DrainRequested
        if not named:
            agent = drain
            gpus = gpus if drain else dict.fromkeys("abcd", False)
        gpus |= dict.fromkeys(named, drain)
    drains = fold(orders)
    assert (whole(drains) is not None) == agent
    assert sorted(drained_gpus(drains)) == [gpu for gpu, out in gpus.items() if out]
    assert [one.at for one in drains] == sorted(one.at for one in drains)
    assert msgspec.json.decode(msgspec.json.encode(drains), type=Drains) == drains


def test_the_newer_reason_counts() -> None:
    drains = fold([(DrainRequested, ()), (DrainRequested, ())])
    assert drains == (Drain("ann@host", 1, "reason 1"),)
    assert str(drains[0]) == "drained by ann@host: reason 1"
    assert str(Drain("ann@host", 1)) == "drained by ann@host"
