"""Environments made by the standard library's venv, and pip in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..attempts.command import Completed
from .base import Environment, Recipe, Site
from .building import find_or_build
from .pip_reason import explain_pip, explain_venv, lacks_ensurepip
from .uv_reason import explain_uv
from .variables import deciding, pip_variables, uv_variables, with_indexes


class Pip:
    """The manager `pip`."""

    name = "pip"

    async def prepare(self, recipe: Recipe, site: Site) -> Environment:
        """Find the environment in the cache, or let pip make it; see `Manager.prepare`."""
        variables = pip_variables(site)

        async def fill(folder: Path) -> None:
            trusted = with_indexes(variables, recipe, site, "PIP_EXTRA_INDEX_URL")
            interpreter = await find_python(recipe, site, folder)
            await _make_venv(interpreter, recipe, site, folder, variables)
            if recipe.kind != "bare":
                await _install(recipe, site, folder, trusted)

        return await find_or_build(recipe, site, deciding=deciding(self.name, variables), fill=fill)


async def find_python(recipe: Recipe, site: Site, folder: Path) -> str:
    """The interpreter that the recipe asks for: one that is there, else one that uv installs.

    Raises `EnvironmentFailed` if there is none to be had.
    """
    uv, variables = site.toolbox.uv, uv_variables(site)
    find = (uv, "python", "find", "--no-project", "--system", "--", str(recipe.python))
    found = await site.run(find, cwd=folder, env=variables)
    if found.exit_code != 0:
        install = (uv, "python", "install", "--no-bin", "--", str(recipe.python))
        installed = await site.run(install, cwd=folder, env=variables)
        if installed.exit_code != 0:
            raise explain_uv(recipe, installed, step="python")
        found = await site.run(find, cwd=folder, env=variables)
    if found.exit_code != 0:
        raise explain_uv(recipe, found, step="python")
    return _last_path(found)


def _last_path(found: Completed) -> str:
    # uv warns of interpreters that do not start before it names the one that does.
    return found.output.strip().splitlines()[-1].strip()


async def _make_venv(
    interpreter: str, recipe: Recipe, site: Site, folder: Path, variables: Mapping[str, str]
) -> None:
    venv = (interpreter, "-m", "venv", str(folder))
    made = await site.run(venv, cwd=folder, env=variables)
    if made.exit_code != 0 and lacks_ensurepip(made):
        # Debian has it in a package of its own. uv can bring a pip, too.
        made = await site.run((*venv, "--clear", "--without-pip"), cwd=folder, env=variables)
        if made.exit_code == 0:
            bring = (site.toolbox.uv, "pip", "install", f"--python={folder}", "pip")
            made = await site.run(bring, cwd=folder, env=uv_variables(site))
    if made.exit_code != 0:
        raise explain_venv(interpreter, made)


async def _install(recipe: Recipe, site: Site, folder: Path, variables: Mapping[str, str]) -> None:
    log = folder / "pip.log"
    pip = (str(folder / "bin" / "python"), "-m", "pip", f"--log={log}")
    installed = await site.run(
        (*pip, "install", *_arguments(recipe)),
        cwd=site.tree / recipe.folder,
        env=variables,
    )
    if installed.exit_code != 0:
        raise explain_pip(recipe, installed, await asyncio.to_thread(_text, log))
    log.unlink(missing_ok=True)


def _text(log: Path) -> str:
    try:
        return log.read_text("utf-8", "replace")
    except OSError:  # pip did not come so far
        return ""


def _arguments(recipe: Recipe) -> Iterator[str]:
    yield from (f"--constraint={recipe.near(file)}" for file in recipe.constraints)
    yield from (f"--requirement={recipe.near(file)}" for file in recipe.files)
    yield from (f"--editable={recipe.near(local.folder)}" for local in recipe.local if local.built)
    # Given by name: a requirement is no option, and detection refuses what looks like one.
    yield from ("--", *recipe.specs)
