"""An agent's caretaker keeps the caches in their bounds without being asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from evq.agent import caretaker
from evq.agent.attempts.kept import Kept
from evq.agent.caretaker import Caretaker
from evq.agent.config import Config
from evq.agent.environments.cache import Cache, Made
from evq.agent.limits.memory import MemoryWatch

SIZE = 8192


def environment(cache: Path, key: str) -> str:
    """Put an environment of `SIZE` bytes into the cache; returns its key."""
    environments = Cache(cache)
    environments.root.mkdir(parents=True, exist_ok=True)
    folder, held = environments.new_folder(key)
    held.release()
    environments.publish(key, Made(folder=folder.name, python="3", packages=(), bytes=SIZE))
    return key


def keys(cache: Path) -> list[str]:
    return [found.key for found in Cache(cache).complete()]


@asynccontextmanager
async def caring(folder: Path, **settings: Any) -> AsyncIterator[Caretaker]:
    """A caretaker at work on `folder / "cache"`."""
    config = Config(
        name="a", queues=("q",), state=folder, cache=folder / "cache", disk_floor="0", **settings
    )
    found = Caretaker(config, MemoryWatch(), Kept(folder / "work"))
    paused: list[str] = []

    async def pause(reason: str) -> None:
        paused.append(reason)

    work = asyncio.ensure_future(found.run(pause))
    yield found
    assert paused == [] and not work.done()
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def test_caches_are_brought_into_their_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(caretaker, "FIRST_PRUNE", 0.0)
    for key in ("a", "b", "c"):
        environment(tmp_path / "cache", key)
    async with caring(tmp_path, cache_bytes=2 * SIZE):
        await until(lambda: len(keys(tmp_path / "cache")) == 2)


async def test_a_single_kind_has_a_bound_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(caretaker, "FIRST_PRUNE", 0.0)
    environment(tmp_path / "cache", "a")
    async with caring(tmp_path, cache_kinds={"environments": 0}):
        await until(lambda: keys(tmp_path / "cache") == [])


async def test_what_was_built_is_looked_at_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Any
) -> None:
    monkeypatch.setattr(caretaker, "LOOK_EVERY", 0.01)
    async with caring(tmp_path, cache_bytes=0) as found:
        environment(tmp_path / "cache", "a")
        found.built()
        await until(lambda: keys(tmp_path / "cache") == [])
