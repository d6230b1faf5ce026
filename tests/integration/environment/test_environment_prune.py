"""All caches of an agent together: what is listed, what goes, and what is never touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from place import OLD_SIX, Place

from evq.agent.caches import Entry, caches_of
from evq.agent.caches.downloads import Downloads
from evq.agent.caches.packages import REST, Packages
from evq.agent.environments.locks import try_hold


@pytest.fixture
def own(place: Place) -> Place:
    """A place whose packages lie beside its environments, as an agent's do."""
    place.variables["UV_CACHE_DIR"] = str(place.cache / "uv")
    return place


def run(place: Place, *words: str) -> Any:
    """What `python -m evq.agent.caches` prints."""
    argv = [sys.executable, "-P", "-m", "evq.agent.caches", *words]
    argv += ["--cache-dir", str(place.cache)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout)


def listed(place: Place) -> dict[str, list[Entry]]:
    return {cache.kind: cache.entries() for cache in caches_of(place.cache)}


@pytest.mark.usefixtures("index")
async def test_a_package_is_in_use_while_an_environment_links_it(own: Place) -> None:
    environment = await own.prepare(requirements=(OLD_SIX,))
    found = listed(own)
    (made,) = found["environments"]
    assert (made.name, made.in_use) == (environment.key, True)
    packages = {entry.name: entry for entry in found["packages"]}
    assert packages["six"].in_use and REST in packages
    environment.release()

    assert not listed(own)["environments"][0].in_use
    report = run(own, "prune", "--to", "0")
    assert [entry["name"] for entry in report["entries"]] == [environment.key, "six"]
    left = listed(own)
    assert left["environments"] == [] and [e.name for e in left["packages"]] == [REST]
    assert own.folders() == []


@pytest.mark.usefixtures("index")
async def test_nothing_in_use_goes_and_what_is_needed_again_comes_again(own: Place) -> None:
    held = await own.prepare(requirements=(OLD_SIX,))
    report = run(own, "prune", "--to", "0", "--kinds", "environments=0")
    assert [e["name"] for e in report["entries"] if e["name"] in (held.key, "six")] == []
    assert own.python(held, "import six; print(six.__version__)") == "1.16.0"
    held.release()
    run(own, "prune", "--to", "0")
    again = await own.prepare(requirements=(OLD_SIX,))
    assert not again.cached and own.python(again, "import six; print(six.__version__)") == "1.16.0"


async def test_a_dry_run_removes_nothing(own: Place) -> None:
    environment = await own.prepare()
    environment.release()
    report = run(own, "prune", "--to", "0", "--dry-run")
    assert environment.key in [entry["name"] for entry in report["entries"]]
    assert (await own.prepare()).cached
    assert run(own, "prune", "--to", "0", "--dry-run", "--kind", "code")["entries"] == []


async def test_two_at_once_do_not_prune_the_same_cache(own: Place) -> None:
    own.cache.mkdir()
    with try_hold(own.cache / "prune.lock", shared=False, create=True) or pytest.fail("held"):
        assert run(own, "prune", "--to", "0")["busy"]
    assert not run(own, "prune", "--to", "0")["busy"]


def test_an_empty_cache(tmp_path: Path) -> None:
    place = Place(tmp_path, {})
    kinds = [cache.kind for cache in caches_of(place.cache)]
    assert run(place, "ls") == {"entries": [], "left": 0, "kinds": kinds, "busy": False}
    assert run(place, "prune", "--to", "0")["entries"] == []


def test_downloads_go_when_no_tool_has_been_there_for_a_while(tmp_path: Path) -> None:
    place = Place(tmp_path, {})
    for name in ("pip", "apt/debian"):
        (place.cache / name / "below").mkdir(parents=True)
        (place.cache / name / "below/file").write_bytes(b"x" * 5000)
    names = [entry["name"] for entry in run(place, "ls")["entries"]]
    assert names == ["pip", "apt/debian"]
    assert run(place, "prune", "--to", "0")["entries"] == []
    downloads = Downloads(place.cache)
    assert downloads.remove("apt/debian") and downloads.remove("never/there")
    assert [entry.name for entry in downloads.entries()] == ["pip"]
    assert sorted(path.name for path in place.cache.iterdir()) == ["apt", "pip", "prune.lock"]


@pytest.mark.usefixtures("index")
def test_packages_for_another_c_library_are_known_by_it(own: Place, tmp_path: Path) -> None:
    own.variables["UV_CACHE_DIR"] = str(own.cache / "uv-musl")
    target = tmp_path / "target"
    own.uv("pip", "install", "--target", str(target), OLD_SIX, "--python", sys.executable)
    (own.cache / "uvula").mkdir()
    packages = Packages(own.cache)
    names = [entry.name for entry in packages.entries()]
    assert names == ["musl/six", f"musl/{REST}"]
    assert packages.remove("musl/six")
    assert [entry.name for entry in packages.entries()] == [f"musl/{REST}"]


PREPARE = """
import asyncio, os, subprocess, sys
from pathlib import Path
from evq.agent.attempts.command import Completed
from evq.agent.environments import Request, detect, prepare

async def run(argv, *, cwd, env):
    print("runs", argv[1], flush=True)
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = await process.communicate()
    return Completed(process.returncode, output.decode())

tree, cache = map(Path, sys.argv[1:])
recipe = detect(tree, Request(requirements=("six==1.16.0",)))
print("ready", flush=True)
sys.stdin.readline()
made = asyncio.run(prepare(recipe, tree=tree, cache=cache, run=run, base_env=os.environ))
print("made", made.key, made.cached, made.path, flush=True)
"""

STARTS = 20


@pytest.mark.usefixtures("index")
def test_what_twenty_agents_need_at_once_is_built_once(own: Place) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, own.tree, own.cache],
            env=own.variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(STARTS)
    ]
    try:
        for process in processes:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate()[0].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    ran = [line for lines in said for line in lines if line.startswith("runs")]
    assert ran == ["runs venv", "runs pip"]
    made = [lines[-1].split() for lines in said]
    assert [words[0] for words in made] == ["made"] * STARTS
    assert len({(words[1], words[3]) for words in made}) == 1
    assert sorted(words[2] for words in made) == ["False", *["True"] * (STARTS - 1)]
    assert len(own.folders()) == 1


def test_the_layout_of_uvs_cache_is_the_one_that_is_read(
    own: Place, index: None, tmp_path: Path
) -> None:
    """A newer uv may lay its cache out anew; then `packages` has to learn that."""
    target = tmp_path / "target"
    own.uv("pip", "install", "--target", str(target), OLD_SIX, "--python", sys.executable)
    (six,) = [entry for entry in listed(own)["packages"] if entry.name == "six"]
    assert six.in_use
