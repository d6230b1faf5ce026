"""What is poetry's own: its lock, its version of it, its projects in the tree."""

from __future__ import annotations

import os
import subprocess

import pytest
import uv
from index import Index, wheel
from kits import KITS
from place import Place, versions

from evq.agent.environments import Environment
from evq.agent.environments.poetry import VERSIONS
from evq.core.errors import EnvironmentFailed

pytestmark = pytest.mark.usefixtures("poetry")

[KIT] = (kit for kit in KITS if kit.manager == "poetry")


def lock(place: Place) -> None:
    subprocess.run(
        [uv.find_uv_bin(), "tool", "run", f"--from={VERSIONS}", "poetry", "lock", "-n"],
        cwd=place.tree,
        env={**place.variables, "POETRY_CACHE_DIR": str(place.cache.parent / "poetry")},
        check=True,
        capture_output=True,
    )


async def test_a_lock_is_followed(place: Place, packages: Index) -> None:
    KIT.ask(place, packages, name="needy", version=">=1")
    lock(place)
    made = await place.prepare()
    assert {"needy": "1.0", "tiny": "1.0"}.items() <= versions(made).items()
    assert made.notes == () and (await place.prepare()).cached


async def test_without_a_lock_it_says_so(place: Place, packages: Index) -> None:
    KIT.ask(place, packages)
    made = await place.prepare()
    assert made.notes == ("not reproducible: there is no lock; run poetry lock",)


async def test_a_lock_that_is_out_of_date(place: Place, packages: Index) -> None:
    KIT.ask(place, packages)
    lock(place)
    KIT.ask(place, packages, version="2.0")
    with pytest.raises(EnvironmentFailed, match=r"poetry\.lock is out of date") as caught:
        await place.prepare()
    assert caught.value.fix == "poetry lock"
    assert (place.tree / "poetry.lock").exists()


async def test_the_project_is_imported_from_the_tree_of_its_attempt(
    place: Place, packages: Index
) -> None:
    KIT.ask(place, packages)
    place.write("src/mine/__init__.py", "import tiny\nnumber = 7\n")
    made = await place.prepare()
    ask = "import mine; from importlib.metadata import version as v; print(mine.number, v('mine'))"
    assert place.python(made, ask) == "7 1"
    place.write("src/mine/__init__.py", "number = 8\n")
    again = await place.prepare()
    assert (again.cached, place.python(again, ask)) == (True, "8 1")


async def test_what_comes_from_the_tree_is_installed_for_each_attempt(
    place: Place, packages: Index
) -> None:
    KIT.ask(place, packages)
    project = (place.tree / "pyproject.toml").read_text()
    place.write(
        "pyproject.toml",
        project.replace('tiny = "1.0"', 'part = { path = "wheels/part-2-py3-none-any.whl" }'),
    )
    (place.tree / "wheels").mkdir()
    wheel(place.tree / "wheels/part-2-py3-none-any.whl", "part", "2", ())
    one, two = await place.prepare(), await place.prepare()
    assert place.python(one, "import part; print(part.__version__)") == "2"
    assert (one.path == two.path, two.cached) == (False, False)


async def test_the_poetry_on_the_path_is_taken(place: Place, packages: Index) -> None:
    folder = place.tree.parent / "bin"
    folder.mkdir()
    called = place.tree.parent / "called"
    real = f"{uv.find_uv_bin()} tool run '--from={VERSIONS}' poetry"
    (folder / "poetry").write_text(f'#!/bin/sh\necho "$@" >> {called}\nexec {real} "$@"\n')
    (folder / "poetry").chmod(0o755)
    place.variables["PATH"] = f"{folder}{os.pathsep}{place.variables['PATH']}"
    KIT.ask(place, packages)
    made: Environment = await place.prepare()
    assert versions(made)["tiny"] == "1.0"
    assert called.read_text() == "install --no-root --no-interaction --no-ansi\n"


async def test_an_index_that_is_away(place: Place, packages: Index) -> None:
    KIT.ask(place, packages)
    project = (place.tree / "pyproject.toml").read_text()
    place.write("pyproject.toml", project.replace(packages.url, "http://127.0.0.1:9/simple"))
    with pytest.raises(EnvironmentFailed, match="the package index cannot be reached") as caught:
        await place.prepare()
    assert "127.0.0.1:9" in caught.value.why


@pytest.mark.parametrize("wish", [{"requirements": ("tiny",)}, {"indexes": ("http://here/",)}])
async def test_what_is_no_matter_of_the_command_line_is_refused(
    place: Place, packages: Index, wish: dict[str, tuple[str, ...]]
) -> None:
    KIT.ask(place, packages)
    with pytest.raises(EnvironmentFailed, match="poetry cannot grant --") as caught:
        await place.prepare(manager="poetry", **wish)
    assert "poetry add" in caught.value.why
