"""Environments in their cache: many at once, after a crash, and at their end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from place import OLD_SIX, Place, Runs, versions

from evq.agent.attempts.command import Completed
from evq.agent.environments import Cache, Environment
from evq.core.errors import EnvironmentFailed

# --- many at once, and after a crash ------------------------------------------------------------


async def test_what_two_ask_for_at_once_is_built_once(place: Place) -> None:
    one, two = await asyncio.gather(place.prepare(), place.prepare())
    assert place.runs.commands == ["venv"]
    assert sorted((one.cached, two.cached)) == [False, True]
    assert one.path == two.path


class Gate(Runs):
    """A `Run` that says when it is asked, and runs when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.allowed = asyncio.Event(), asyncio.Event()

    async def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> Completed:
        self.asked.set()
        await self.allowed.wait()
        return await super().__call__(argv, cwd=cwd, env=env)


async def test_who_waits_for_a_builder_can_be_cancelled(place: Place) -> None:
    gate = Gate()
    builder = asyncio.create_task(place.prepare(gate))
    await gate.asked.wait()
    waiter = asyncio.create_task(place.prepare())
    await asyncio.wait({waiter}, timeout=0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    gate.allowed.set()
    assert not (await builder).cached
    assert place.runs.commands == []


async def test_a_builder_that_is_cancelled_leaves_nothing(place: Place) -> None:
    gate = Gate()
    builder = asyncio.create_task(place.prepare(gate))
    await gate.asked.wait()
    builder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await builder
    assert place.folders() == []
    assert not (await place.prepare()).cached


BUILDER = """
import asyncio, os, subprocess, sys
from pathlib import Path
from typing import Any
from evq.agent.attempts.command import Completed
from evq.agent.environments import Request, detect, prepare

async def run(argv, *, cwd, env):
    if argv[1] != "venv":
        print("in the middle", flush=True)
        sys.stdin.read()
    return Completed(subprocess.run(argv, cwd=cwd, env=env).returncode, "")

tree, cache = map(Path, sys.argv[1:])
recipe = detect(tree, Request(requirements=("six==1.16.0",)))
asyncio.run(prepare(recipe, tree=tree, cache=cache, run=run, base_env=os.environ))
"""


@pytest.mark.usefixtures("index")
async def test_what_a_killed_builder_left_is_never_used(place: Place) -> None:
    builder = subprocess.Popen(
        [sys.executable, "-c", BUILDER, place.tree, place.cache],
        env=place.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "in the middle\n"
        [half_built] = place.folders()
        assert (half_built / "bin" / "python").exists()
        assert Cache(place.cache).prune(max_bytes=0).keys == ()
        assert place.folders() == [half_built]  # the builder lives, so what it builds does, too
        builder.kill()

    environment = await place.prepare(requirements=(OLD_SIX,))
    assert (environment.cached, versions(environment)) == (False, {"six": "1.16.0"})
    assert environment.path is not None and environment.path != half_built
    Cache(place.cache).prune(max_bytes=1 << 40)
    assert place.folders() == [environment.path]


@pytest.mark.parametrize("damage", ["interpreter gone", "marker torn", "folder gone"])
async def test_a_damaged_environment_is_built_anew(place: Place, damage: str) -> None:
    first = await place.prepare()
    assert first.path is not None
    match damage:
        case "interpreter gone":
            (first.path / "bin" / "python").unlink()
        case "marker torn":
            (place.cache / "environments" / f"{first.key}.json").write_text('{"folder"')
        case "folder gone":
            first.path.rename(place.cache / "elsewhere")
    second = await place.prepare()
    assert (second.cached, second.key, second.path == first.path) == (False, first.key, False)
    assert place.python(second, "print('well')") == "well"


# --- the end of an environment ------------------------------------------------------------------


async def test_the_least_recently_used_goes_first_and_never_one_in_use(place: Place) -> None:
    async def make(number: int) -> Environment:
        place.write("requirements.txt", f"# {number}\n")
        return await place.prepare()

    made = [await make(number) for number in range(4)]
    cache = Cache(place.cache)
    assert cache.prune(max_bytes=0).keys == ()
    for number in (0, 1, 3):  # 2 stays in use
        made[number].release()
    for age, number in enumerate((1, 2, 3, 0)):  # the last use of 0 is the latest
        marker = place.cache / "environments" / f"{made[number].key}.json"
        os.utime(marker, (age, age))
    (await make(0)).release()

    size = disk_blocks(made[0])
    assert cache.prune(max_bytes=3 * size).keys == (made[1].key,)
    assert cache.prune(max_bytes=0, in_use={made[3].key}).keys == (made[0].key,)
    assert {folder.name.split(".")[0] for folder in place.folders()} == {made[2].key, made[3].key}
    made[2].release()
    assert set(cache.prune(max_bytes=0).keys) == {made[2].key, made[3].key}
    assert list((place.cache / "environments").iterdir()) == []


def disk_blocks(environment: Environment) -> int:
    assert environment.path is not None
    files = (path for path in environment.path.rglob("*") if not path.is_dir() or path.is_symlink())
    return sum(path.lstat().st_blocks * 512 for path in files)


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("index")
async def test_what_pip_is_told_uv_is_told_too(place: Place, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    place.variables |= {"PIP_FIND_LINKS": str(tmp_path / "wheels")}
    place.variables |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    place.variables["UV_CACHE_DIR"] = str(place.cache / "fresh")
    with pytest.raises(EnvironmentFailed, match=r"127\.0\.0\.1:9"):
        await place.prepare(requirements=("six",))
