"""Environments made by the real uv from the real package index."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import uv

from evq.agent.command import Completed
from evq.agent.environments import Cache, Environment, Request, detect, prepare
from evq.core.errors import EnvironmentFailed

OLD_SIX = "six==1.16.0"
HEADER = f'# /// script\n# requires-python = ">=3.9"\n# dependencies = ["{OLD_SIX}"]\n# ///\n'
PROJECT = f"""
[project]
name = "mine"
version = "1.5"
requires-python = ">=3.9"
dependencies = ["{OLD_SIX}"]
[project.scripts]
mine = "mine:main"
[dependency-groups]
dev = ["iniconfig"]
"""
PACKAGE = (
    PROJECT + '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
)


class Runs:
    """A `Run` that really runs, and remembers what."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    async def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> Completed:
        self.commands.append(argv[1])
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return Completed(process.returncode, output.decode())


class Place:
    """A work tree, a cache, and what the agent passes on of its environment."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        self.tree = root / "tree"
        self.cache = root / "cache"
        self.variables = dict(variables)
        self.runs = Runs()
        self.tree.mkdir(parents=True)

    def write(self, path: str, content: str) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(content)

    def uv(self, *arguments: str) -> None:
        subprocess.run(
            [uv.find_uv_bin(), *arguments],
            cwd=self.tree,
            env=self.variables,
            check=True,
            capture_output=True,
        )

    async def prepare(self, run: Runs | None = None, **request: Any) -> Environment:
        recipe = detect(self.tree, Request(**request))
        return await prepare(
            recipe,
            tree=self.tree,
            cache=self.cache,
            run=run or self.runs,
            base_env=self.variables,
        )

    def python(self, environment: Environment, code: str) -> str:
        """What `python -c code` prints in the environment, `python` found by PATH."""
        done = subprocess.run(
            ["python", "-c", code],
            cwd=self.tree,
            env=environment.apply(self.variables),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def folders(self) -> list[Path]:
        return [path for path in (self.cache / "environments").iterdir() if path.is_dir()]


@pytest.fixture(scope="session")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of this machine, with a cache of uv that the tests share."""
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return {
        **kept,
        "UV_CACHE_DIR": str(tmp_path_factory.mktemp("uv")),
        "UV_PYTHON_DOWNLOADS": "never",
    }


@pytest.fixture
def place(tmp_path: Path, variables: dict[str, str]) -> Place:
    return Place(tmp_path, variables)


@pytest.fixture(scope="session")
def index(variables: dict[str, str]) -> None:
    """A package index that answers."""
    asked = subprocess.run(
        [uv.find_uv_bin(), "pip", "compile", "-"],
        input="six",
        env=variables,
        capture_output=True,
        text=True,
    )
    if asked.returncode != 0:
        pytest.skip(f"no package index can be reached: {asked.stderr.strip().splitlines()[-1]}")


def versions(environment: Environment) -> dict[str, str]:
    return {package.name: package.version for package in environment.packages}


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
    assert Cache(place.cache).prune(max_bytes=1 << 40).keys == (second.key,)


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
from evq.agent.command import Completed
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
