"""The Python that is there, as it is: nothing is installed, what is there is recorded."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import msgspec

from ...core.errors import EnvironmentFailed
from ...core.events import Package
from .base import Environment, Recipe, Site
from .versions import is_granted

_LOOK = """
import json, platform, re, sys
from importlib.metadata import distributions
found = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version
         for d in reversed(list(distributions())) if d.metadata["Name"]}
facts = {"python": platform.python_version(), "packages": sorted(found.items())}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file)
print("Python", facts["python"], "at", sys.executable, "with", len(found), "packages")
"""


class _Facts(msgspec.Struct):
    python: str
    packages: list[tuple[str, str]]


class System:
    """The manager `system`."""

    name = "system"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """Look at the Python on the PATH and record it.

        Asks at every start, since what it has may have changed since the last. Raises
        `EnvironmentFailed` if it is not the Python that the task asks for.
        """
        facts = await _look(site)
        if recipe.python and not is_granted(facts.python, recipe.python):
            raise EnvironmentFailed(
                f"the system's Python is {facts.python}, and the task asks for {recipe.python}",
                why="with the manager `system` a task runs with the Python that is there",
                fix=f"--env uv, or --python {facts.python.rpartition('.')[0]}",
            )
        return Environment(
            manager=self.name,
            key="",
            python=facts.python,
            packages=tuple(Package(name, version) for name, version in facts.packages),
            notes=recipe.notes,
            cached=True,
        )


async def _look(site: Site) -> _Facts:
    site.cache.mkdir(parents=True, exist_ok=True)
    # In the cache, because a container has the same folder at the same place.
    with tempfile.TemporaryDirectory(prefix="system-", dir=site.cache.absolute()) as folder:
        facts = os.path.join(folder, "facts.json")
        looked = await site.run(
            ("python3", "-c", _LOOK, facts), cwd=Path(folder), env=site.base_env
        )
        if looked.exit_code != 0:
            raise EnvironmentFailed(
                "there is no working python3 on the PATH",
                why=(looked.output.strip().splitlines() or ["it said nothing"])[-1],
                fix="--env uv",
            )
        return await asyncio.to_thread(_read, Path(facts))


def _read(facts: Path) -> _Facts:
    return msgspec.json.decode(facts.read_bytes(), type=_Facts)
