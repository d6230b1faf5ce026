"""The port `Presence`: values that vanish when nobody renews them."""

from __future__ import annotations

from typing import Any

import pytest

from evq.core.ports import WrongSequence

BRIEF = 3
"""Seconds that a value lives which nobody renews; so long nobody is kept waiting here."""


async def test_put_is_seen_by_all(bus: Any, peer: Any) -> None:
    assert await bus.presence.get("w1") is None
    assert await bus.presence.all() == {}
    await bus.presence.put("w1", b"one", 60)
    await bus.presence.put("w2.x-1", b"two", 60)
    assert await peer.presence.get("w1") == b"one"
    assert await peer.presence.all() == {"w1": b"one", "w2.x-1": b"two"}


async def test_the_last_value_counts(bus: Any, peer: Any) -> None:
    for number in range(10):
        await bus.presence.put("w1", b"%d" % number, 60)
    assert await peer.presence.get("w1") == b"9"
    assert await peer.presence.all() == {"w1": b"9"}


async def test_what_is_not_renewed_vanishes(world: Any, bus: Any, until: Any) -> None:
    await bus.presence.put("long", b"y", 60)
    await bus.presence.put("brief", b"x", BRIEF)
    assert await bus.presence.get("brief") == b"x"
    world.pass_time(BRIEF + 1)

    async def gone() -> bool:
        return await bus.presence.get("brief") is None

    await until(gone)
    assert await bus.presence.all() == {"long": b"y"}


async def test_renewing_keeps_it(world: Any, bus: Any, until: Any) -> None:
    """The one that is renewed outlives one that was put at the same time."""
    await bus.presence.put("renewed", b"x", BRIEF)
    await bus.presence.put("silent", b"x", BRIEF)
    await bus.presence.put("renewed", b"x", 60)
    world.pass_time(BRIEF + 1)

    async def gone() -> bool:
        return await bus.presence.get("silent") is None

    await until(gone)
    assert await bus.presence.all() == {"renewed": b"x"}


async def test_remove_is_at_once_and_not_for_ever(bus: Any, peer: Any) -> None:
    await bus.presence.put("w1", b"one", 60)
    await bus.presence.remove("w1")
    assert await peer.presence.get("w1") is None
    assert await peer.presence.all() == {}
    await bus.presence.remove("w1")
    await bus.presence.put("w1", b"again", 60)
    assert await peer.presence.all() == {"w1": b"again"}


async def test_the_mark_of_a_removal_takes_nothing_with_it(
    world: Any, bus: Any, until: Any
) -> None:
    """A removed value that is put again stays when the mark of its removal has run out."""
    await bus.presence.put("w1", b"one", 60)
    await bus.presence.remove("w1")
    await bus.presence.put("w1", b"again", 60)
    await bus.presence.put("later", b"x", BRIEF)
    world.pass_time(BRIEF + 1)

    async def gone() -> bool:
        return await bus.presence.get("later") is None

    await until(gone)
    assert await bus.presence.get("w1") == b"again"


async def test_of_two_who_take_a_name_one_has_it(bus: Any, peer: Any) -> None:
    ours = await bus.presence.put("w1", b"ours", 60, expect=0)
    with pytest.raises(WrongSequence):
        await peer.presence.put("w1", b"theirs", 60, expect=0)
    with pytest.raises(WrongSequence):
        await peer.presence.remove("w1", expect=ours + 1)
    last = await peer.presence.last("w1")
    assert (last.seq, last.data) == (ours, b"ours")
    after = await bus.presence.put("w1", b"still ours", 60, expect=ours)
    assert after > ours and await peer.presence.get("w1") == b"still ours"


async def test_what_is_taken_back_can_be_followed(bus: Any, peer: Any) -> None:
    ours = await bus.presence.put("w1", b"ours", 60, expect=0)
    await bus.presence.remove("w1", expect=ours)
    mark = await peer.presence.last("w1")
    assert mark.data == b"" and await peer.presence.get("w1") is None
    await peer.presence.put("w1", b"theirs", 60, expect=mark.seq)
    assert await bus.presence.all() == {"w1": b"theirs"}


async def test_a_name_that_ran_out_is_free(world: Any, bus: Any, peer: Any, until: Any) -> None:
    await bus.presence.put("w1", b"ours", BRIEF, expect=0)
    world.pass_time(BRIEF + 1)

    async def gone() -> bool:
        return await peer.presence.last("w1") is None

    await until(gone)
    await peer.presence.put("w1", b"theirs", 60, expect=0)
    assert await bus.presence.get("w1") == b"theirs"
