"""`evq cache`: what is listed and what is removed, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evq.agent.environments.cache import Cache, Made


@pytest.fixture
def cache(evq: Any, tmp_path: Path) -> Cache:
    """Two environments of 8 KiB in the cache that the settings name."""
    evq.env["EVQ_CACHE_DIR"] = str(tmp_path / "cache")
    evq.env["EVQ_SERVER"] = "nats://127.0.0.1:1"
    environments = Cache(tmp_path / "cache")
    environments.root.mkdir(parents=True)
    for key in ("0ne", "tw0"):
        folder, held = environments.new_folder(key)
        held.release()
        environments.publish(key, Made(folder=folder.name, python="3", packages=(), bytes=8192))
    return environments


async def test_the_caches_are_listed(evq: Any, cache: Cache) -> None:
    listed = (await evq("cache", "ls", "--json")).json
    assert listed["bytes"] == 16384
    assert sorted(entry["name"] for entry in listed["entries"]) == ["0ne", "tw0"]
    shown = await evq("cache", "ls")
    assert "0ne" in shown.out and "8KiB" in shown.out and "16KiB in 2 entries" in shown.err


async def test_what_is_too_much_goes(evq: Any, cache: Cache) -> None:
    told = (await evq("cache", "prune", "--all", "--dry-run", "--json")).json
    assert (told["freed"], told["bytes"]) == (16384, 0)
    assert len(cache.complete()) == 2
    assert "0B freed, 16KiB left" in (await evq("cache", "prune")).err
    await evq("cache", "prune", "--to", "8KiB")
    assert len(cache.complete()) == 1
    evq.env["EVQ_CACHE_KINDS"] = "environments=0"
    assert (await evq("cache", "prune", "--json")).json["freed"] == 8192
    assert cache.complete() == []


async def test_an_environment_in_use_stays(evq: Any, cache: Cache) -> None:
    (used, *_) = cache.complete()
    (cache.root / used.made.folder / "bin").mkdir()
    (cache.root / used.made.folder / "bin/python").touch()
    found = cache.use(used.key)
    assert found
    listed = (await evq("cache", "ls", "--json")).json["entries"]
    assert [entry["name"] for entry in listed if entry["in_use"]] == [used.key]
    await evq("cache", "prune", "--all")
    assert [one.key for one in cache.complete()] == [used.key]
    found[2].release()


async def test_wrong_words_about_caches(evq: Any, cache: Cache) -> None:
    for words in (("--to", "much"), ("--all", "--to", "1G"), ("--kind", "stamps")):
        assert (await evq("cache", "prune", *words)).status == 2
