"""The managers there are, and the one that a recipe is for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from ..attempts.command import Run
from .agent import AgentPython
from .base import Environment, Manager, Recipe, Site, Toolbox
from .conda import Conda
from .none import Nothing
from .pip import Pip
from .poetry import Poetry
from .system import System
from .toolbox import this_machine
from .uv import Uv
from .variables import IMAGE

MANAGERS: dict[str, Manager] = {
    manager.name: manager
    for manager in (Uv(), Pip(), Poetry(), Conda(), System(), AgentPython(), Nothing())
}


async def prepare(
    recipe: Recipe,
    *,
    tree: Path,
    cache: Path,
    run: Run,
    base_env: Mapping[str, str],
    secrets: Mapping[str, str] | None = None,
    toolbox: Toolbox | None = None,
) -> Environment:
    """Make the environment of `recipe` by the manager that it names; see `Manager.prepare`.

    `base_env` is what its commands see of the machine, `secrets` what addresses may name.
    Without a `toolbox` they find what this machine has; in a container, which has it at the same
    path, `base_env` names the image.
    """
    site = Site(
        tree=tree,
        cache=cache,
        run=run,
        base_env=base_env,
        secrets=secrets or {},
        toolbox=toolbox or replace(this_machine(), image=base_env.get(IMAGE, "")),
    )
    return await MANAGERS[recipe.manager].prepare(recipe, site)
