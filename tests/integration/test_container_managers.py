"""Managers other than uv make environments in a container, too."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from engine import HOST_NETWORK, WITH_PYTHON, needs_engine

from evq.core.events import Outcome
from evq.core.sdk.snapshot import take
from evq.core.spec import Container, Script

pytestmark = needs_engine()

POETRY = """
[tool.poetry]
name = "mine"
version = "1"
description = ""
authors = []
[tool.poetry.dependencies]
python = ">=3.9"
"""
MAIN = {"main.py": "import sys\nprint(sys.prefix)\n"}
FILES = {
    "pip": MAIN | {"requirements.txt": "six==1.17.0\n"},
    "poetry": MAIN | {"pyproject.toml": POETRY},
    "system": MAIN | {"requirements.txt": "six==1.17.0\n"},
}


@pytest.fixture
async def code(client: Any, tmp_path: Path, manager: str) -> Any:
    """The code of a project for the manager, sent."""
    project = tmp_path / "project"
    project.mkdir()
    subprocess.run(["git", "init", "-q", project], check=True)
    for name, text in FILES[manager].items():
        (project / name).write_text(text)
    with take(project, None) as snapshot:
        for blob in snapshot.blobs:
            snapshot.write_bundle(blob, tmp_path / blob.name)
            await client.bus.objects.put(blob.name, tmp_path / blob.name)
    return snapshot.code


@pytest.mark.parametrize("manager", FILES)
async def test_it_works_in_a_container(queue, start_agent, code, manager):
    start_agent([queue], *HOST_NETWORK).ready()
    spec = {"entry": Script("main.py"), "code": code, "manager": manager}
    for warm in (False, True):
        task = await queue.run(**spec, container=Container(WITH_PYTHON))
        if task.state.outcome is not Outcome.COMPLETED:
            pytest.fail("\n".join([task.state.evidence, *await queue.lines(task.id)]))
        attempt = task.attempts[-1]
        assert (attempt.environment.manager, attempt.environment.image != "") == (manager, True)
        assert attempt.phases[-1].cached is (warm or manager == "system")
        [prefix] = await queue.lines(task.id, "o")
        assert (prefix == "/usr") is (manager == "system")
    found = {package.name for package in attempt.environment.packages}
    assert ("six" in found) is (manager == "pip")
