"""Environments made by uv, cached by content: a warm start runs no process."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.metadata
import os
import secrets
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import uv

from ...core.errors import EnvironmentFailed
from ..command import Run
from .base import Environment, Local, Recipe, Request
from .cache import Cache, Made, disk_usage
from .detect import detect_recipe
from .installed import describe_local, packages_of, python_version
from .outcome import explain
from .variables import IMAGE, deciding, uv_variables

_FORMAT = 1
"""Goes up when environments made by an older evq must not be used any more."""


class Uv:
    """The manager `uv`."""

    name = "uv"

    def detect(self, tree: Path, request: Request) -> Recipe | None:
        """What the task's code asks for; `auto` and `uv` always find something."""
        return detect_recipe(tree, request) if request.manager in ("auto", self.name) else None

    async def prepare(
        self, recipe: Recipe, *, tree: Path, cache: Path, run: Run, base_env: Mapping[str, str]
    ) -> Environment:
        """Find the environment in the cache, or build it there, once for all agents.

        Raises `EnvironmentFailed` when uv fails or the cache cannot be used, `SpawnFailed` when
        uv cannot be started.
        """
        try:
            return await self._prepare(recipe, tree, cache, run, base_env)
        except OSError as error:
            raise EnvironmentFailed(
                "the cache of environments cannot be used", why=str(error)
            ) from error

    async def _prepare(
        self, recipe: Recipe, tree: Path, cache: Path, run: Run, base_env: Mapping[str, str]
    ) -> Environment:
        variables = uv_variables(base_env, cache)
        key = environment_key(recipe, variables)
        environments = Cache(cache)
        cached = True
        while (found := environments.use(key)) is None:
            with await environments.building(key):
                if (found := environments.use(key)) is not None:
                    break
                cached = False
                await _build(recipe, key, environments, tree, run, variables)
        folder, made, held = found
        return Environment(
            manager=self.name,
            key=key,
            path=folder,
            variables={"VIRTUAL_ENV": str(folder)},
            bin_path=(str(folder / "bin"),),
            python_path=tuple(_import_folder(tree, local) for local in recipe.local),
            python=made.python,
            packages=made.packages,
            notes=recipe.notes,
            cached=cached,
            hold=held,
        )


def environment_key(recipe: Recipe, variables: Mapping[str, str]) -> str:
    """The name of the environment in the cache: equal for equal content, on equal machines."""
    parts = (
        _FORMAT,
        recipe.manager,
        _uv_version(),
        sysconfig.get_platform(),
        recipe.kind,
        recipe.folder,
        recipe.python,
        recipe.digest,
        deciding(variables),
        secrets.token_hex(16) if recipe.private else "",
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


async def _build(
    recipe: Recipe, key: str, cache: Cache, tree: Path, run: Run, variables: Mapping[str, str]
) -> None:
    folder, held = cache.new_folder(key)
    try:
        with held:
            await _install(recipe, folder, tree, run, variables)
            describe_local(recipe.local, folder)
            made = Made(
                folder=folder.name,
                python=python_version(folder),
                packages=packages_of(folder),
                bytes=await asyncio.to_thread(disk_usage, folder),
                private=recipe.private,
                image=variables.get(IMAGE, ""),
            )
            cache.publish(key, made)
    finally:
        # Does nothing to an environment that was published.
        await asyncio.to_thread(cache.discard, folder)


async def _install(
    recipe: Recipe, folder: Path, tree: Path, run: Run, variables: Mapping[str, str]
) -> None:
    create = (_uv(), "venv", "--no-project", f"--python={recipe.python}", str(folder))
    # Not in the tree: the shims of pyenv would read the .python-version there, and a pin that
    # pyenv lacks would hide every Python from uv.
    created = await run(create, cwd=folder, env=variables)
    if created.exit_code != 0:
        raise explain(recipe, created, step="python")
    if recipe.kind == "bare":
        return
    inside = {"VIRTUAL_ENV": str(folder), "UV_PROJECT_ENVIRONMENT": str(folder)}
    install = (_uv(), *_install_arguments(recipe, folder))
    installed = await run(install, cwd=tree / recipe.folder, env={**variables, **inside})
    if installed.exit_code != 0:
        raise explain(recipe, installed, step="packages")


def _install_arguments(recipe: Recipe, folder: Path) -> Sequence[str]:
    python = f"--python={folder / 'bin' / 'python'}"
    named = [os.path.relpath(file, recipe.folder) for file in recipe.files]
    match recipe.kind:
        case "lock":
            ours = (f"--no-install-package={local.name}" for local in recipe.local)
            return ("sync", "--locked", python, *ours)
        case "script-lock":
            return ("sync", "--locked", "--active", python, f"--script={named[0]}")
        case _:
            files = (f"--requirements={file}" for file in named)
            groups = (f"--group={group}" for group in recipe.groups)
            preview = ("--preview-features=pylock",) if recipe.kind == "pylock" else ()
            return ("pip", "install", python, *preview, *files, *groups, "--", *recipe.specs)


def _import_folder(tree: Path, local: Local) -> str:
    folder = tree.absolute() / local.folder
    return str(folder / "src" if (folder / "src").is_dir() else folder)


@functools.cache
def _uv() -> str:
    try:
        return os.fspath(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise EnvironmentFailed(
            "uv is not installed", why=str(error), fix="pip install uv"
        ) from error


@functools.cache
def _uv_version() -> str:
    return ".".join(importlib.metadata.version("uv").split(".")[:2])
