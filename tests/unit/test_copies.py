"""Copies of the database: who waits for a new one, and who reads the one that is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evq.projector import snapshots
from evq.projector.snapshots import Snapshot, Snapshots


class Copier:
    """Copies that take as long as they are told to; `gate` holds them up."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seconds = 1.0
        self.now = (1, 0, 0)
        self.fails = False
        self.made = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, path: Path) -> tuple[int, int, int]:
        self.made += 1
        position = self.now
        await self.gate.wait()
        if self.fails:
            raise OSError(28, "No space left on device")
        self.clock.now += self.seconds
        path.write_text(str(position))
        return position


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(snapshots, "time", made)
    return made


@pytest.fixture
def copier(clock: Clock) -> Copier:
    return Copier(clock)


@pytest.fixture
def copies(copier: Copier, tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "copies", copier)


async def read(copies: Snapshots, copier: Copier, **how: Any) -> Snapshot:
    """Use a copy, which is there meanwhile."""
    async with copies.use(copier.now, **how) as copy:
        assert copy.path.exists()
        return copy


async def test_who_goes_on_asking_waits_for_no_copy(
    copies: Snapshots, copier: Copier, clock: Clock, until: Callable[..., Any]
) -> None:
    first = await read(copies, copier, newest=False)
    copier.now = (2, 0, 0)
    assert await read(copies, copier, newest=False) is first
    clock.now += 20 * copier.seconds
    copier.gate.clear()
    assert await read(copies, copier, newest=False) is first
    assert await read(copies, copier, newest=False) is first
    copier.gate.set()
    await until(lambda: not first.path.exists())
    assert (await read(copies, copier, newest=False)).seq == 2
    assert copier.made == 2


async def test_the_first_after_a_while_waits(
    copies: Snapshots, copier: Copier, clock: Clock
) -> None:
    await read(copies, copier, newest=False)
    copier.now = (2, 0, 0)
    clock.now += 40 * copier.seconds
    assert (await read(copies, copier, newest=False)).seq == 2


async def test_a_quick_copy_is_waited_for(copies: Snapshots, copier: Copier, clock: Clock) -> None:
    copier.seconds = 0.01
    await read(copies, copier, newest=False)
    copier.now = (2, 0, 0)
    clock.now += 0.5
    assert (await read(copies, copier, newest=False)).seq == 2


async def test_who_wants_the_newest_waits(copies: Snapshots, copier: Copier, clock: Clock) -> None:
    await read(copies, copier)
    copier.now = (2, 0, 0)
    clock.now += 20 * copier.seconds
    assert (await read(copies, copier)).seq == 2


async def test_no_room_for_a_newer_copy(
    copies: Snapshots,
    copier: Copier,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    until: Callable[..., Any],
) -> None:
    first = await read(copies, copier, newest=False)
    copier.now, copier.fails = (2, 0, 0), True
    clock.now += 20 * copier.seconds
    with caplog.at_level(logging.WARNING):
        assert await read(copies, copier, newest=False) is first
        await until(lambda: "no newer copy" in caplog.text)
    assert "No space left" in caplog.text
    clock.now += 20 * copier.seconds
    with pytest.raises(OSError, match="No space left"):
        await read(copies, copier, newest=False)


async def test_a_copy_stays_while_it_is_read(
    copies: Snapshots, copier: Copier, clock: Clock
) -> None:
    async with copies.use(copier.now) as first:
        copier.now = (2, 0, 0)
        clock.now += 20 * copier.seconds
        assert (await read(copies, copier)).seq == 2
        assert first.path.exists()
    assert not first.path.exists()
    copies.close()
    assert not first.path.parent.exists()
