"""What holds for every manager that makes environments: one suite for all of them.

uv, pip and poetry are real; packages come from an index that the tests serve. conda is played by
a double, so for it these cases hold the commands and what is made of the answers, not conda.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from index import Index
from kits import CURRENT, MINOR, Kit
from place import Place, versions

from evq.agent.environments import Cache, Request, detect
from evq.core.errors import EnvironmentFailed


def test_its_projects_are_detected(place: Place, packages: Index, kit: Kit) -> None:
    recipe = detect(place.tree, Request(**kit.ask(place, packages)))
    assert recipe.manager == kit.manager
    if not kit.detected:
        assert detect(place.tree, Request()).manager == "uv"


async def test_what_is_built_once_is_found_again(place: Place, packages: Index, kit: Kit) -> None:
    request = kit.ask(place, packages)
    before = sorted(place.tree.rglob("*"))
    cold = await place.prepare(**request)
    assert (cold.cached, cold.manager) == (False, kit.manager)
    assert place.python(cold, "import tiny; print(tiny.__version__)") == "1.0"
    assert place.python(cold, "import sys; print(sys.prefix)") == str(cold.path)
    assert sorted(place.tree.rglob("*")) == before

    place.runs.commands.clear()
    warm = await place.prepare(**request)
    assert (warm.cached, place.runs.commands) == (True, [])
    assert (warm.key, warm.path, warm.python) == (cold.key, cold.path, cold.python)
    assert warm.packages == cold.packages


async def test_what_is_there_is_recorded(place: Place, packages: Index, kit: Kit) -> None:
    environment = await place.prepare(**kit.ask(place, packages))
    assert environment.python == CURRENT
    assert versions(environment)["tiny"] == "1.0"


async def test_equal_content_has_an_equal_key(
    tmp_path: Path, variables: dict[str, str], packages: Index, kit: Kit
) -> None:
    async def key(name: str, version: str) -> tuple[str, bool]:
        place = Place(tmp_path / name, variables)
        place.cache = tmp_path / "cache"
        made = await place.prepare(**kit.ask(place, packages, version=version))
        return made.key, made.cached

    one, again, other = await key("a", "1.0"), await key("b", "1.0"), await key("c", "2.0")
    assert (one[0] == again[0], one[0] == other[0]) == (True, False)
    assert (one[1], again[1], other[1]) == (False, True, False)


async def test_the_python_that_is_asked_for_is_the_one(
    place: Place, packages: Index, kit: Kit
) -> None:
    request = kit.ask(place, packages, python=MINOR)
    assert (await place.prepare(**request)).python == CURRENT
    assert (await place.prepare(**request, python=MINOR)).python == CURRENT


@pytest.mark.parametrize("asked", ["--version", "--help", "pypy3.99"])
async def test_a_python_that_is_no_version_is_not_taken_for_an_option(
    place: Place, packages: Index, kit: Kit, asked: str
) -> None:
    with pytest.raises(EnvironmentFailed, match=f"{asked} cannot be had|not the one asked for"):
        await place.prepare(**kit.ask(place, packages), python=asked)
    assert place.folders() == []


@pytest.mark.parametrize("asks", ["project", "user"])
async def test_another_python_is_never_taken(
    place: Place, packages: Index, kit: Kit, asks: str
) -> None:
    request = kit.ask(place, packages, python="3.99" if asks == "project" else None)
    with pytest.raises(EnvironmentFailed, match=r"3\.99|asked for") as caught:
        await place.prepare(**request, **({"python": "3.99"} if asks == "user" else {}))
    assert "3.99" in str(caught.value)
    assert place.folders() == []


async def test_requirements_that_cannot_be_met_give_the_reason(
    place: Place, packages: Index, kit: Kit
) -> None:
    with pytest.raises(EnvironmentFailed, match=r"the requirements of \S+ cannot be met") as caught:
        await place.prepare(**kit.ask(place, packages, name="nosuch"))
    assert "nosuch" in caught.value.why
    assert place.folders() == []


async def test_many_at_once_build_once(place: Place, packages: Index, kit: Kit) -> None:
    request = kit.ask(place, packages)
    made = await asyncio.gather(*(place.prepare(**request) for _ in range(5)))
    assert sorted(one.cached for one in made) == [False, True, True, True, True]
    assert len({one.path for one in made}) == len(place.folders()) == 1


BUILDER = """
import asyncio, os, subprocess, sys
from pathlib import Path
from evq.agent.attempts.command import Completed
from evq.agent.environments import Request, detect, prepare

async def run(argv, *, cwd, env):
    if {"install", "create"} & set(argv):
        print("in the middle", flush=True)
        sys.stdin.read()
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True)
    return Completed(done.returncode, done.stdout + done.stderr)

tree, cache = map(Path, sys.argv[1:3])
recipe = detect(tree, Request(manager=sys.argv[3]))
asyncio.run(prepare(recipe, tree=tree, cache=cache, run=run, base_env=os.environ))
"""


async def test_what_a_killed_builder_left_is_never_used(
    place: Place, packages: Index, kit: Kit
) -> None:
    request = kit.ask(place, packages)
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, place.tree, place.cache, request["manager"]],
        env=place.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "in the middle\n"
        [half_built] = place.folders()
        builder.kill()
    environment = await place.prepare(**request)
    assert environment.path is not None and half_built not in environment.path.parents
    assert (environment.cached, environment.path != half_built) == (False, True)
    environment.release()
    Cache(place.cache).prune(max_bytes=1 << 40)
    assert half_built not in place.folders() and len(place.folders()) == 1
    Cache(place.cache).prune(max_bytes=0)
    assert place.folders() == []
