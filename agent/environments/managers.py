"""The managers there are, and the one that a request is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...core.errors import EnvironmentFailed
from ..command import Run
from .base import Environment, Manager, Recipe, Request
from .none import Nothing
from .uv import Uv

MANAGERS: dict[str, Manager] = {manager.name: manager for manager in (Uv(), Nothing())}
"""By name, in the order in which `auto` asks them."""


def detect(tree: Path, request: Request) -> Recipe:
    """The recipe of the first manager that the request is for.

    Raises `EnvironmentFailed` when there is none, or the code in `tree` is wrong.
    """
    for manager in MANAGERS.values():
        if (recipe := manager.detect(tree, request)) is not None:
            return recipe
    raise EnvironmentFailed(
        f"there is no environment manager {request.manager!r}",
        why=f"this agent knows auto, {', '.join(MANAGERS)}",
        fix="--env auto",
    )


async def prepare(
    recipe: Recipe, *, tree: Path, cache: Path, run: Run, base_env: Mapping[str, str]
) -> Environment:
    """Make the environment of `recipe` by the manager that wrote it; see `Manager.prepare`."""
    manager = MANAGERS[recipe.manager]
    return await manager.prepare(recipe, tree=tree, cache=cache, run=run, base_env=base_env)
