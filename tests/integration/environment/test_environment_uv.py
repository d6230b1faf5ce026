"""Environments made by the real uv from the real package index."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from place import HEADER, OLD_SIX, PACKAGE, PROJECT, Place, versions

from evq.agent.environments import Cache
from evq.core.errors import EnvironmentFailed

# --- every kind of recipe ---------------------------------------------------------------------

Setup = Callable[[Place], dict[str, Any]]


def explicit_file(place: Place) -> dict[str, Any]:
    place.write("req/gpu.txt", f"{OLD_SIX}\n")
    return {"requirements": ("req/gpu.txt",)}


def explicit_spec(place: Place) -> dict[str, Any]:
    return {"requirements": (OLD_SIX,)}


def script(place: Place) -> dict[str, Any]:
    place.write("a/train.py", HEADER)
    return {"script": "a/train.py"}


def script_lock(place: Place) -> dict[str, Any]:
    place.write("a/train.py", HEADER)
    place.uv("lock", "--script", "a/train.py")
    return {"script": "a/train.py"}


def lock(place: Place) -> dict[str, Any]:
    place.write("pyproject.toml", PROJECT)
    place.uv("lock")
    return {}


def pylock(place: Place) -> dict[str, Any]:
    lock(place)
    place.uv("export", "--format=pylock.toml", "--no-emit-project", "--output-file=pylock.toml")
    (place.tree / "uv.lock").unlink()
    return {}


def project(place: Place) -> dict[str, Any]:
    place.write("pyproject.toml", PROJECT)
    return {}


def requirements(place: Place) -> dict[str, Any]:
    place.write("a/requirements.txt", "-r ../base.txt\n")
    place.write("base.txt", "-c limits.txt\nsix\n")
    place.write("limits.txt", f"{OLD_SIX}\n")
    return {"folder": "a"}


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    "setup",
    [explicit_file, explicit_spec, script, script_lock, lock, pylock, project, requirements],
)
async def test_every_kind_is_built_once_and_found_again(place: Place, setup: Setup) -> None:
    request = setup(place)
    before = sorted(place.tree.rglob("*"))
    cold = await place.prepare(**request)
    assert (cold.cached, cold.manager, versions(cold)["six"]) == (False, "uv", "1.16.0")
    assert place.python(cold, "import six; print(six.__version__)") == "1.16.0"
    assert place.python(cold, "import sys; print(sys.prefix)") == str(cold.path)
    assert sorted(place.tree.rglob("*")) == before

    place.runs.commands.clear()
    warm = await place.prepare(**request)
    assert (warm.cached, place.runs.commands) == (True, [])
    assert (warm.path, warm.python, warm.packages) == (cold.path, cold.python, cold.packages)


async def test_without_requirements_there_is_a_plain_python(place: Place) -> None:
    environment = await place.prepare()
    assert environment.packages == ()
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    assert place.python(environment, code) == environment.python
    assert (await place.prepare()).cached


async def test_none_changes_nothing(place: Place) -> None:
    environment = await place.prepare(manager="none")
    assert environment.apply(place.variables) == place.variables
    assert (environment.path, place.runs.commands) == (None, [])


@pytest.mark.usefixtures("index")
async def test_the_groups_that_uv_installs_by_default_are_there(place: Place) -> None:
    lock(place)
    locked = await place.prepare()
    (place.tree / "uv.lock").unlink()
    free = await place.prepare()
    assert set(versions(locked)) == set(versions(free)) == {"six", "iniconfig"}
    assert (locked.notes, len(free.notes)) == ((), 1)


# --- the code of the task itself --------------------------------------------------------------


ASK_MINE = """
import mine
from importlib.metadata import entry_points, version
[script] = entry_points(group="console_scripts", name="mine")
print(mine.number, version("mine"), script.value)
"""
WORKSPACE = """
[tool.uv.sources]
part = { workspace = true }
[tool.uv.workspace]
members = ["parts/*"]
"""


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("locked", [True, False])
async def test_a_package_is_imported_from_the_tree_of_its_attempt(
    tmp_path: Path, variables: dict[str, str], locked: bool
) -> None:
    places = [Place(tmp_path / name, variables) for name in ("one", "two")]
    for number, place in enumerate(places):
        place.cache = tmp_path / "cache"
        place.write("pyproject.toml", PACKAGE)
        place.write("src/mine/__init__.py", f"number = {number}\n")
        if locked:
            place.uv("lock")
    first, second = [await place.prepare() for place in places]
    assert (first.cached, second.cached, first.path) == (False, True, second.path)
    for number, (place, environment) in enumerate(zip(places, (first, second), strict=True)):
        assert place.python(environment, ASK_MINE) == f"{number} 1.5 mine:main"
    assert versions(first)["mine"] == "1.5"


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("manager", ["uv", "pip"])
async def test_a_project_with_a_list_of_requirements_is_importable(
    place: Place, manager: str
) -> None:
    place.write("pyproject.toml", PACKAGE)
    place.write("src/mine/__init__.py", "import six\nnumber = 7\n")
    place.write("requirements.txt", f"{OLD_SIX}\n")
    made = await place.prepare(manager=manager, requirements=("requirements.txt",))
    assert place.python(made, ASK_MINE) == "7 1.5 mine:main"


@pytest.mark.usefixtures("index")
async def test_a_command_of_the_project_runs_its_tree(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    main = "import sys\ndef main():\n    sys.exit(NUMBER + len(sys.argv))\n"
    for number in (0, 1):
        place = Place(tmp_path / f"attempt{number}", variables)
        place.cache = tmp_path / ("a cache with a long path " * 6).strip()
        place.write("pyproject.toml", PACKAGE)
        place.write("src/mine.py", main.replace("NUMBER", str(number)))
        place.uv("lock")
        environment = await place.prepare()
        done = subprocess.run(["mine", "a b"], env=environment.apply(place.variables))
        assert (done.returncode, environment.cached) == (number + 2, number == 1)


@pytest.mark.usefixtures("index")
async def test_members_of_a_workspace_come_from_the_tree(place: Place) -> None:
    place.write("pyproject.toml", PACKAGE.replace(OLD_SIX, "part") + WORKSPACE)
    place.write("src/mine/__init__.py", "import part\n")
    place.write("parts/part/pyproject.toml", PACKAGE.replace("mine", "part"))
    place.write("parts/part/part/__init__.py", "import six\n")
    place.uv("lock")
    environment = await place.prepare()
    assert place.python(environment, "import mine, part; print(part.__file__)") == str(
        place.tree / "parts/part/part/__init__.py"
    )
    member = await place.prepare(script="parts/part/run.py")
    assert place.python(member, "import part, six; print(six.__version__)") == "1.16.0"


@pytest.mark.usefixtures("index")
async def test_an_editable_requirement_is_built_for_each_attempt(place: Place) -> None:
    place.write("pyproject.toml", PACKAGE.replace("[dependency-groups]", "[unused]"))
    place.write("src/mine/__init__.py", "")
    place.write("requirements.txt", "-e .\n")
    first = await place.prepare(requirements=("requirements.txt",))
    second = await place.prepare(requirements=("requirements.txt",))
    assert place.python(first, "import mine; print(mine.__file__)").startswith(str(place.tree))
    assert (first.cached, second.cached, first.path == second.path) == (False, False, False)
    second.release()
    Cache(place.cache).prune(max_bytes=1 << 40)
    assert place.folders() == [first.path]


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("spec", ["six==99", "evq-test-no-such-package-8c1f"])
async def test_requirements_that_cannot_be_met(place: Place, spec: str) -> None:
    with pytest.raises(
        EnvironmentFailed, match=f"the requirements of {spec} cannot be met"
    ) as caught:
        await place.prepare(requirements=(spec,))
    assert caught.value.why.startswith("Because")
    assert place.folders() == []


@pytest.mark.usefixtures("index")
async def test_a_lock_that_is_out_of_date(place: Place) -> None:
    lock(place)
    place.write("pyproject.toml", PROJECT.replace("1.16.0", "1.17.0"))
    with pytest.raises(EnvironmentFailed, match=r"uv\.lock is out of date") as caught:
        await place.prepare()
    assert caught.value.fix == "uv lock"


@pytest.mark.usefixtures("index")
async def test_a_lock_of_a_script_that_is_out_of_date(place: Place) -> None:
    request = script_lock(place)
    place.write("a/train.py", HEADER.replace("1.16.0", "1.17.0"))
    with pytest.raises(EnvironmentFailed, match=r"a/train\.py\.lock is out of date") as caught:
        await place.prepare(**request)
    assert caught.value.fix == "uv lock --script a/train.py"


@pytest.mark.parametrize("place_of_wish", ["request", "file", "header"])
async def test_a_python_that_cannot_be_had(place: Place, place_of_wish: str) -> None:
    request: dict[str, Any] = {}
    match place_of_wish:
        case "request":
            request = {"python": "3.99"}
        case "file":
            place.write(".python-version", "3.99\n")
        case "header":
            place.write("a.py", HEADER.replace(">=3.9", ">=3.99"))
            request = {"script": "a.py"}
    with pytest.raises(EnvironmentFailed, match=r"Python \S*3\.99 cannot be had") as caught:
        await place.prepare(**request)
    assert "No interpreter found" in caught.value.why
    assert "uv python install" in caught.value.fix


async def test_a_wish_against_the_requirement_of_the_project(place: Place) -> None:
    place.write("pyproject.toml", PROJECT.replace(">=3.9", ">=3.99"))
    current = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with pytest.raises(EnvironmentFailed, match="cannot be had"):
        await place.prepare(python=current)


async def test_the_python_of_the_tree_is_honoured(place: Place) -> None:
    current = ".".join(map(str, sys.version_info[:3]))
    place.write(".python-version", f"{current}\n")
    assert (await place.prepare()).python == current


async def test_an_index_that_does_not_answer(place: Place) -> None:
    place.variables |= {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    place.variables["UV_CACHE_DIR"] = str(place.cache / "fresh")
    with pytest.raises(EnvironmentFailed, match="the package index cannot be reached") as caught:
        await place.prepare(requirements=("six",))
    assert "127.0.0.1:9" in caught.value.why


async def test_a_network_that_is_switched_off(place: Place) -> None:
    place.variables |= {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(place.cache / "fresh")}
    with pytest.raises(EnvironmentFailed, match="the package index cannot be reached"):
        await place.prepare(requirements=("six",))


@pytest.mark.usefixtures("index")
async def test_a_package_that_does_not_build(place: Place) -> None:
    place.write("bad/pyproject.toml", PACKAGE)
    place.write("bad/setup.py", "raise SystemExit('there is no compiler')\n")
    place.write("requirements.txt", "./bad\n")
    with pytest.raises(
        EnvironmentFailed, match=r"a package of requirements\.txt cannot be built"
    ) as caught:
        await place.prepare()
    assert "there is no compiler" in caught.value.why


@pytest.mark.usefixtures("index")
async def test_a_uv_that_is_killed(place: Place) -> None:
    place.write("bad/pyproject.toml", PACKAGE)
    place.write("bad/setup.py", f"import os; os.kill(os.getppid(), {signal.SIGKILL})\n")
    place.write("requirements.txt", "./bad\n")
    with pytest.raises(EnvironmentFailed, match="ended by signal 9"):
        await place.prepare()
    assert place.folders() == []


async def test_a_cache_that_cannot_be_written(place: Place) -> None:
    place.cache.write_text("a file, not a folder")
    with pytest.raises(EnvironmentFailed, match="the cache of environments cannot be used"):
        await place.prepare()


async def test_a_link_out_of_the_tree_is_not_shown_to_uv(place: Place) -> None:
    (place.tree / "requirements.txt").symlink_to("/etc/passwd")
    with pytest.raises(EnvironmentFailed, match="leads out of the task's code"):
        await place.prepare()
    assert place.runs.commands == []
