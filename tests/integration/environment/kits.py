"""For each manager, how a project of its own looks: what the conformance suite builds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from index import Index
from place import Place

DOUBLE = Path(__file__).parent / "doubles" / "conda"
CURRENT = ".".join(map(str, sys.version_info[:3]))
MINOR = CURRENT.rpartition(".")[0]

Write = Callable[[Place, Index, str, str, str | None], None]


@dataclass(frozen=True)
class Kit:
    """A manager, how a project that needs one package is written, and how `auto` sees it."""

    manager: str
    write: Write
    detected: bool = True

    def ask(
        self,
        place: Place,
        index: Index,
        name: str = "tiny",
        version: str = "1.0",
        python: str | None = None,
    ) -> dict[str, Any]:
        """Write a project that needs `name`; gives the request for it."""
        self.write(place, index, name, version, python)
        return {"manager": "auto" if self.detected else self.manager}


def _uv(place: Place, index: Index, name: str, version: str, python: str | None) -> None:
    required = f'requires-python = "=={python}.*"\n' if python else ""
    place.write(
        "pyproject.toml",
        f'[project]\nname = "mine"\nversion = "1"\n{required}'
        f'dependencies = ["{name}=={version}"]\n[[tool.uv.index]]\nurl = "{index.url}"\n',
    )


def _pip(place: Place, index: Index, name: str, version: str, python: str | None) -> None:
    place.write("requirements.txt", f"--index-url {index.url}\n{name}=={version}\n")
    if python:
        place.write(".python-version", f"{python}\n")


def _poetry(place: Place, index: Index, name: str, version: str, python: str | None) -> None:
    place.write(
        "pyproject.toml",
        '[tool.poetry]\nname = "mine"\nversion = "1"\ndescription = ""\nauthors = []\n'
        f'[tool.poetry.dependencies]\npython = "{f"~{python}" if python else ">=3.9"}"\n'
        f'{name} = "{version}"\n[[tool.poetry.source]]\nname = "here"\nurl = "{index.url}"\n',
    )


def _conda(place: Place, index: Index, name: str, version: str, python: str | None) -> None:
    play(place, "micromamba")
    place.write(
        "environment.yml",
        f"channels:\n  - conda-forge\ndependencies:\n  - python={python or MINOR}\n"
        f"  - {name}={version}\n",
    )


def play(place: Place, program: str) -> None:
    """Put the double on the PATH under the name of `program`."""
    folder = place.tree.parent / "bin"
    folder.mkdir(exist_ok=True)
    if not (folder / program).exists():
        (folder / program).symlink_to(DOUBLE)
    place.variables["DOUBLE_LOG"] = str(place.tree.parent / "double.log")
    front = f"{folder}{os.pathsep}"
    if not place.variables["PATH"].startswith(front):
        place.variables["PATH"] = front + place.variables["PATH"]


KITS = [
    Kit("uv", _uv),
    Kit("pip", _pip, detected=False),
    Kit("poetry", _poetry),
    Kit("conda", _conda),
]
