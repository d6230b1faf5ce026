"""Fixtures for environments made by the real uv from the real package index."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

# `place`, `index` and `kits` are shared by these tests and are no tests themselves.
sys.path.insert(0, str(Path(__file__).parent))

from index import CANARY, Index, serve
from kits import KITS, Kit
from place import Place

from evq.agent.environments.poetry import VERSIONS


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


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of this machine: `tiny` in two versions, and `needy`, which needs the old one."""
    with serve(tmp_path_factory.mktemp("index")) as found:
        found.add("tiny", "1.0")
        found.add("tiny", "2.0")
        found.add("needy", "1.0", ("tiny<2",))
        yield found


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Index]:
    """An index that wants a login; it offers `hidden`."""
    with serve(tmp_path / "private", login=f"ada:{CANARY}") as found:
        found.add("hidden", "1.0")
        yield found


@pytest.fixture(scope="session")
def poetry(index: None, variables: dict[str, str]) -> None:
    """A poetry that uv can bring."""
    asked = subprocess.run(
        [uv.find_uv_bin(), "tool", "run", f"--from={VERSIONS}", "poetry", "--version"],
        env=variables,
        capture_output=True,
        text=True,
    )
    if asked.returncode != 0:
        pytest.skip(f"poetry cannot be had: {asked.stderr.strip().splitlines()[-1]}")


@pytest.fixture(params=KITS, ids=lambda kit: kit.manager)
def kit(request: pytest.FixtureRequest) -> Kit:
    """Each manager in turn."""
    kit: Kit = request.param
    if kit.manager == "poetry":
        request.getfixturevalue("poetry")
    return kit
