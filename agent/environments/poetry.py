"""Environments made by poetry: the one on the PATH, else one that uv brings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...core.errors import EnvironmentFailed
from .base import Environment, Recipe, Site
from .building import find_or_build
from .poetry_reason import explain_poetry
from .programs import find_program
from .uv import make_venv
from .variables import deciding, poetry_variables, uv_variables, with_secrets

VERSIONS = "poetry>=2,<3"
"""Which poetry is brought where there is none."""


class Poetry:
    """The manager `poetry`."""

    name = "poetry"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """Find the environment in the cache, or let poetry make it; see `Manager.prepare`."""
        variables = poetry_variables(site)

        async def fill(folder: Path) -> None:
            await make_venv(recipe, site, folder, uv_variables(site))
            await _install(recipe, site, folder, variables)

        return await find_or_build(recipe, site, deciding=deciding(self.name, variables), fill=fill)


async def _install(recipe: Recipe, site: Site, folder: Path, variables: Mapping[str, str]) -> None:
    root = site.tree / recipe.folder
    poetry = await _poetry(site, folder)
    only = () if any(local.built for local in recipe.local) else ("--no-root",)
    locked = (root / "poetry.lock").exists()
    try:
        installed = await site.run(
            (*poetry, "install", *only, "--no-interaction", "--no-ansi"),
            cwd=root,
            # poetry installs into the environment that is active.
            env={**with_secrets(variables, recipe, site), "VIRTUAL_ENV": str(folder)},
        )
    finally:
        if not locked:  # poetry writes one, which is no part of the task's code
            (root / "poetry.lock").unlink(missing_ok=True)
    if installed.exit_code != 0:
        raise explain_poetry(recipe, installed)


async def _poetry(site: Site, folder: Path) -> tuple[str, ...]:
    """The words that start poetry."""
    if found := await find_program(("poetry",), site, folder):
        return (found,)
    tool = (site.toolbox.uv, "tool", "run", "--no-config", f"--from={VERSIONS}")
    # Asked apart, so that a failure to get poetry is not taken for a failure of poetry.
    brought = await site.run((*tool, "python", "-c", ""), cwd=folder, env=uv_variables(site))
    if brought.exit_code != 0:
        raise EnvironmentFailed(
            "poetry is not here, and uv cannot bring it",
            why=(brought.output.strip().splitlines() or ["uv said nothing"])[-1],
            fix="pip install poetry, where the agent runs",
        )
    return (*tool, "poetry")
