"""The agent's own Python, with evq and all that it needs: for tasks that use evq themselves."""

from __future__ import annotations

import platform
import re
import sys
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from ...core.errors import EnvironmentFailed
from ...core.events import Package
from .base import Environment, Recipe, Site


class AgentPython:
    """The manager `agent`."""

    name = "agent"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """The Python that runs this very process. Raises `EnvironmentFailed` in a container."""
        if site.toolbox.image:
            raise EnvironmentFailed(
                "the agent's Python is not to be had in a container",
                why="the manager `agent` takes it as it is on the agent's machine",
                fix="run the task without a container, or --env auto",
            )
        return Environment(
            manager=self.name,
            key="",
            bin_path=(str(Path(sys.executable).parent),),
            python=platform.python_version(),
            executable=sys.executable,
            packages=_packages(),
            notes=recipe.notes,
            cached=True,
        )


# What this process was started with does not change any more.
@cache
def _packages() -> tuple[Package, ...]:
    # The first of several on the path is the one that is imported.
    found = {
        re.sub(r"[-_.]+", "-", name).lower(): one.version
        for one in reversed(list(distributions()))
        if (name := one.metadata["Name"])
    }
    return tuple(Package(name, version) for name, version in sorted(found.items()))
