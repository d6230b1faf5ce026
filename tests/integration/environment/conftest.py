"""Fixtures for environments made by the real uv from the real package index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

# `place` is shared by these tests and is no test itself.
sys.path.insert(0, str(Path(__file__).parent))

from place import Place


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
