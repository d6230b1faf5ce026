"""Environments made by conda, mamba or micromamba, whichever is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ...core.errors import EnvironmentFailed
from .base import Environment, Recipe, Site
from .building import find_or_build
from .conda_reason import explain_conda
from .programs import find_program
from .variables import conda_variables, deciding, with_secrets

PROGRAMS = ("micromamba", "mamba", "conda")
"""What is looked for, the fastest first; all make the same of the same file."""

# Some remove a folder that is there already, with the lock that we hold on it.
_PREFIX = "conda"


class Conda:
    """The manager `conda`."""

    name = "conda"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """Find the environment in the cache, or let conda make it; see `Manager.prepare`."""
        variables = conda_variables(site)

        async def fill(folder: Path) -> None:
            await _create(recipe, site, folder, variables)

        made = await find_or_build(
            recipe, site, deciding=deciding(self.name, variables), fill=fill, prefix=_PREFIX
        )
        own = {"CONDA_PREFIX": str(made.path), "CONDA_DEFAULT_ENV": str(made.path)}
        return msgspec.structs.replace(made, variables=own)


async def _create(recipe: Recipe, site: Site, folder: Path, variables: Mapping[str, str]) -> None:
    program = await find_program(PROGRAMS, site, folder)
    if program is None:
        raise EnvironmentFailed(
            f"{recipe.source} needs conda, and none is on this machine",
            why=f"looked for {', '.join(PROGRAMS)} on the agent's PATH",
            fix="install micromamba where the agent runs, or --env uv",
        )
    prefix, named = folder / _PREFIX, map(recipe.near, recipe.files)
    created = await site.run(
        (program, *_words(program), "--prefix", str(prefix), "--file", *named),
        cwd=site.tree / recipe.folder,
        env=with_secrets(variables, recipe, site),
    )
    if created.exit_code != 0:
        raise explain_conda(recipe, program, created)
    if not (prefix / "bin" / "python").exists():
        raise EnvironmentFailed(
            f"{recipe.source} makes an environment without Python",
            why="python is not among its dependencies, nor needed by any of them",
            fix=f"add python to the dependencies of {recipe.source}",
        )


def _words(program: str) -> tuple[str, ...]:
    # Only micromamba reads the file of an environment with plain `create`; the others take it
    # for a list of packages.
    if os.path.basename(program) == "micromamba":
        return ("create", "--yes")
    return ("env", "create", "--yes")
