"""Environments made by uv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from .base import Environment, Recipe, Site
from .building import find_or_build
from .uv_reason import explain_uv
from .variables import deciding, uv_variables, with_indexes


class Uv:
    """The manager `uv`."""

    name = "uv"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """Find the environment in the cache, or let uv make it; see `Manager.prepare`."""
        variables = uv_variables(site)

        async def fill(folder: Path) -> None:
            trusted = with_indexes(variables, recipe, site, "UV_INDEX")
            await make_venv(recipe, site, folder, variables)
            if recipe.kind != "bare":
                await _install(recipe, site, folder, trusted)

        return await find_or_build(recipe, site, deciding=deciding(self.name, variables), fill=fill)


async def make_venv(recipe: Recipe, site: Site, folder: Path, variables: Mapping[str, str]) -> None:
    """An empty virtual environment in `folder`, of the Python that the recipe asks for."""
    create = (site.toolbox.uv, "venv", "--no-project", f"--python={recipe.python}", str(folder))
    # Not in the tree: the shims of pyenv would read the .python-version there, and a pin that
    # pyenv lacks would hide every Python from uv.
    created = await site.run(create, cwd=folder, env=variables)
    if created.exit_code != 0:
        raise explain_uv(recipe, created, step="python")


async def _install(recipe: Recipe, site: Site, folder: Path, variables: Mapping[str, str]) -> None:
    inside = {"VIRTUAL_ENV": str(folder), "UV_PROJECT_ENVIRONMENT": str(folder)}
    installed = await site.run(
        (site.toolbox.uv, *_arguments(recipe, folder)),
        cwd=site.tree / recipe.folder,
        env={**variables, **inside},
    )
    if installed.exit_code != 0:
        raise explain_uv(recipe, installed, step="packages")


def _arguments(recipe: Recipe, folder: Path) -> Iterator[str]:
    python = f"--python={folder / 'bin' / 'python'}"
    named = [recipe.near(file) for file in recipe.files]
    match recipe.kind:
        case "lock":
            yield from ("sync", "--locked", python)
            yield from (f"--no-install-package={one.name}" for one in recipe.local if not one.built)
        case "script-lock":
            yield from ("sync", "--locked", "--active", python, f"--script={named[0]}")
        case _:
            yield from ("pip", "install", python)
            if recipe.kind == "pylock":
                yield "--preview-features=pylock"
            if recipe.torch_backend:
                yield f"--torch-backend={recipe.torch_backend}"
            yield from (f"--constraints={recipe.near(file)}" for file in recipe.constraints)
            yield from (f"--requirements={file}" for file in named)
            yield from (f"--group={group}" for group in recipe.groups)
            built = (one.folder for one in recipe.local if one.built)
            yield from (f"--editable={recipe.near(folder)}" for folder in built)
            yield from ("--", *recipe.specs)
