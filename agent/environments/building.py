"""Environments that are built once and kept in the cache: a warm start runs no process."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from ...core.errors import EnvironmentFailed
from .base import Environment, Local, Recipe, Site
from .cache import Cache, Made, disk_usage
from .installed import describe_local, packages_of, python_version
from .versions import is_granted

_FORMAT = 2
"""Goes up when environments made by an older evq must not be used any more."""

Fill = Callable[[Path], Awaitable[None]]
"""Installs what a recipe asks for into the empty folder that it is called with."""


async def find_or_build(
    recipe: Recipe, site: Site, *, deciding: Sequence[object], fill: Fill, prefix: str = "."
) -> Environment:
    """Find the environment in the cache, or build it there, once for all agents.

    `deciding` is what besides the recipe and the toolbox changes the outcome. The environment
    lies in `prefix` of its folder. Raises `EnvironmentFailed` when the cache cannot be used, and
    whatever `fill` raises.
    """
    key = environment_key(recipe, site, deciding)
    cache = Cache(site.cache)
    cached = True
    try:
        while (found := cache.use(key)) is None:
            with await cache.building(key):
                if (found := cache.use(key)) is not None:
                    break
                cached = False
                await _build(recipe, key, cache, fill, prefix, site.toolbox.image)
    except OSError as error:
        raise EnvironmentFailed(
            "the cache of environments cannot be used", why=str(error)
        ) from error
    folder, made, held = found
    path = folder / made.prefix
    return Environment(
        manager=recipe.manager,
        key=key,
        path=path,
        folder=folder,
        variables={"VIRTUAL_ENV": str(path)},
        bin_path=(str(path / "bin"),),
        python_path=tuple(
            _import_folder(site.tree, local) for local in recipe.local if not local.built
        ),
        python=made.python,
        packages=made.packages,
        notes=recipe.notes,
        cached=cached,
        hold=held,
    )


def environment_key(recipe: Recipe, site: Site, deciding: Sequence[object]) -> str:
    """The name of the environment in the cache: equal for equal content, on equal machines."""
    toolbox = site.toolbox
    parts = (
        _FORMAT,
        recipe.manager,
        toolbox.uv_version if recipe.manager == "uv" else "",
        (toolbox.platform, toolbox.image),
        recipe.kind,
        recipe.folder,
        recipe.python,
        recipe.digest,
        recipe.torch_backend,
        deciding,
        secrets.token_hex(16) if recipe.private else "",
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


async def _build(
    recipe: Recipe, key: str, cache: Cache, fill: Fill, prefix: str, image: str
) -> None:
    folder, held = cache.new_folder(key)
    try:
        with held:
            await fill(folder)
            made = folder / prefix
            describe_local([local for local in recipe.local if not local.built], made)
            python = python_version(made)
            _check_python(recipe, python)
            cache.publish(
                key,
                Made(
                    folder=folder.name,
                    prefix=prefix,
                    python=python,
                    packages=packages_of(made),
                    bytes=await asyncio.to_thread(disk_usage, folder),
                    private=recipe.private,
                    image=image,
                ),
            )
    finally:
        # Does nothing to an environment that was published.
        await asyncio.to_thread(cache.discard, folder)


def _check_python(recipe: Recipe, made: str) -> None:
    if recipe.python is None:
        return
    granted = is_granted(made, recipe.python)
    # What cannot be compared ("pypy3.10"), uv has understood; conda was not told of it.
    if granted is False or (granted is None and recipe.manager == "conda"):
        raise EnvironmentFailed(
            f"{recipe.source} makes a Python {made}, which is not the one asked for",
            why=f"the task asks for Python {recipe.python}",
            fix=f"change {recipe.source}, or --python {made.rpartition('.')[0]}",
        )


def _import_folder(tree: Path, local: Local) -> str:
    folder = tree.absolute() / local.folder
    return os.fspath(folder / "src" if (folder / "src").is_dir() else folder)
