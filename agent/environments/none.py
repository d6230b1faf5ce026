"""No environment: the task runs with what the machine has on its PATH."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...core.errors import EnvironmentFailed
from ..command import Run
from .base import Environment, Recipe, Request


class Nothing:
    """The manager `none`."""

    name = "none"

    def detect(self, tree: Path, request: Request) -> Recipe | None:
        """A recipe for the bare machine; a wish that it cannot grant raises `EnvironmentFailed`."""
        if request.manager != self.name:
            return None
        if request.requirements or request.python is not None:
            wish = ", ".join((*request.requirements, *filter(None, [request.python])))
            raise EnvironmentFailed(
                f"{wish} cannot be provided without an environment",
                why="with the manager `none` a task runs on the machine as it is",
                fix="--env uv",
            )
        return Recipe(manager=self.name, kind="none", source="the machine as it is")

    async def prepare(
        self, recipe: Recipe, *, tree: Path, cache: Path, run: Run, base_env: Mapping[str, str]
    ) -> Environment:
        """An environment that changes nothing."""
        return Environment(manager=self.name, key="", cached=True)
