"""The port `Objects`: files by name, whole or not at all."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from evq.core.bus import objects
from evq.core.errors import NotFound


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 5 * 2**20])
async def test_round_trip(bus: Any, peer: Any, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content(size))
    assert not await bus.objects.has("bundle/äö 1")
    await bus.objects.put("bundle/äö 1", source)
    assert await peer.objects.has("bundle/äö 1")
    await peer.objects.get("bundle/äö 1", target)
    assert target.read_bytes() == content(size)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["source", "target"]


async def test_what_is_absent_is_not_found(bus: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await bus.objects.get("nothing", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


async def test_put_twice_keeps_the_first(bus: Any, tmp_path: Path) -> None:
    for data in (b"one", b"two"):
        (tmp_path / "source").write_bytes(data)
        await bus.objects.put("blob", tmp_path / "source")
    await bus.objects.get("blob", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"one"


async def test_get_replaces_what_is_there(bus: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old and longer")
    await bus.objects.put("blob", tmp_path / "source")
    await bus.objects.get("blob", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"new"


async def test_many_at_once(bus: Any, peer: Any, tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"source{number}").write_bytes(content(100_000 + number))
    names = range(8)
    await asyncio.gather(*(bus.objects.put(f"blob{n}", tmp_path / f"source{n}") for n in names))
    await asyncio.gather(*(peer.objects.get(f"blob{n}", tmp_path / f"target{n}") for n in names))
    for number in names:
        assert (tmp_path / f"target{number}").read_bytes() == content(100_000 + number)


async def test_both_put_the_same_at_once(bus: Any, peer: Any, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content(300_000))
    await asyncio.gather(*(c.objects.put("blob", tmp_path / "source") for c in (bus, peer) * 2))
    await bus.objects.get("blob", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content(300_000)


async def test_what_was_touched_since_it_was_listed_is_not_removed(
    bus: Any, peer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "FRESH", 0.0)
    (tmp_path / "source").write_bytes(content(300_000))
    await bus.objects.put("blob", tmp_path / "source")
    (listed,) = [one async for one in bus.objects.all()]
    assert (listed.digest, listed.size, listed.whole) == ("blob", 300_000, True)
    assert await peer.objects.touch("blob")
    assert not await bus.objects.remove(listed) and await bus.objects.has("blob")
    (listed,) = [one async for one in bus.objects.all()]
    assert await bus.objects.remove(listed) and await bus.objects.remove(listed)
    assert not await peer.objects.touch("blob") and not await bus.objects.has("blob")
    with pytest.raises(NotFound):
        await bus.objects.get("blob", tmp_path / "target")
    assert [one async for one in bus.objects.all()] == []
    await peer.objects.put("blob", tmp_path / "source")
    await bus.objects.get("blob", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content(300_000)
