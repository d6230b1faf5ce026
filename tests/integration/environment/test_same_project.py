"""One project as its author left it, run by each manager, on the machine and in a bare image."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uv
from engine import BARE, HOST_NETWORK, missing
from index import Index

from evq.agent.environments.poetry import VERSIONS
from evq.core.events import Outcome
from evq.core.sdk.snapshot import take
from evq.core.spec import Code, Container, Script

PROJECT = """\
[project]
name = "study"
version = "0.1"
requires-python = ">=3.11"
dependencies = ["needy==1.0"]

[[tool.uv.index]]
url = "URL"

[tool.poetry]
package-mode = false

[[tool.poetry.source]]
name = "here"
url = "URL"
"""

TRAIN = """\
import importlib.metadata, shutil

from parts import part

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("needy", "tiny")), sep=", ")
print(part.WORD)
print("hello" if shutil.which("hello") else "no hello")
"""


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def make_project(folder: Path, index: Index) -> Path:
    """A repository with two locks, a submodule, and a change that is not committed."""
    parts, project = folder / "parts", folder / "project"
    for repository in (parts, project):
        repository.mkdir()
        git(repository, "init", "-q")
    (parts / "part.py").write_text("WORD = 'from the submodule'\n")
    git(parts, "add", ".")
    git(parts, "commit", "-qm", "parts")
    (project / "pyproject.toml").write_text(PROJECT.replace("URL", index.url))
    (project / "train.py").write_text(TRAIN)
    git(project, "submodule", "--quiet", "add", str(parts), "parts")
    # No virtual environment of the tests' own has a say here, nor what poetry remembers of an
    # index that had the same name.
    clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    clean["POETRY_CACHE_DIR"] = str(folder / "poetry")
    tool = (uv.find_uv_bin(), "tool", "run", f"--from={VERSIONS}")
    for lock in ((uv.find_uv_bin(), "lock", "-q"), (*tool, "poetry", "lock", "-n")):
        subprocess.run(lock, cwd=project, check=True, capture_output=True, env=clean)
    git(project, "add", ".")
    git(project, "commit", "-qm", "all")
    with (project / "train.py").open("a") as script:
        script.write("print('not committed')\n")
    return project


@pytest.fixture
async def code(client: Any, tmp_path: Path, packages: Index, poetry: None) -> Code:
    """The project's code, sent."""
    with take(make_project(tmp_path, packages), None) as snapshot:
        for blob in snapshot.blobs:
            snapshot.write_bundle(blob, tmp_path / blob.name)
            await client.bus.objects.put(blob.name, tmp_path / blob.name)
    return snapshot.code


IN_AN_IMAGE = pytest.param(
    Container(BARE),
    marks=pytest.mark.skipif(bool(missing()), reason=missing()),
    id="in a bare image",
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("container", [pytest.param(None, id="on the machine"), IN_AN_IMAGE])
@pytest.mark.parametrize("manager", ["uv", "pip", "poetry"])
async def test_the_same_project(queue, start_agent, packages, code, manager, container):
    start_agent([queue], *(HOST_NETWORK if container else ())).ready()
    wish = {"code": code, "manager": manager, "entry": Script("train.py"), "container": container}
    if manager == "pip":
        wish["indexes"] = (packages.url,)
    if container:
        wish["apt"] = ("hello",)
    for number in ("cold", "warm"):
        task = await queue.run(**wish)
        said = await queue.lines(task.id, "o")
        assert task.state.outcome is Outcome.COMPLETED, "\n".join(await queue.lines(task.id))
        assert said[:2] == ["needy 1.0, tiny 1.0", "from the submodule"]
        assert said[3:] == ["not committed"]
        if container:
            assert said[2] == "hello"
        (attempt,) = task.attempts
        assert attempt.environment.manager == manager
        cached = {phase.name: phase.cached for phase in attempt.phases}
        times = {phase.name: phase.seconds for phase in attempt.phases}
        print(manager, container and container.image, number, times, file=sys.stderr)
        if number == "warm":
            assert cached["environment"] and cached["code"]
            assert cached.get("packages", True)
