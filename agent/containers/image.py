"""An image that holds a task ready to run: its code, its environment, its command.

It is made of the image that the task runs in. What a task finds there by mounts is put in at the
same paths, because an environment knows its own.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from ...core.errors import ContainerFailed
from ..attempts.place import Place
from ..environments.base import Environment
from .engine import Engine
from .runtime import ROOM, Interpreter

CODE = "/workspace"
"""Where the code is in the image."""

SDK = f"{ROOM}/sdk"
KEPT = frozenset({"PATH", "PYTHONPATH", "PYTHONUNBUFFERED", "EVQ_PARAMS", "EVQ_COMMIT"})
"""Variables of an attempt that are of use outside of one, besides the environment's own."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the image. `folder` is where in the tree the command runs, `sdk` is what
    `import evq` finds, which does nothing outside of an attempt."""

    tree: Path
    folder: str
    sdk: Path
    environment: Environment | None
    variables: Mapping[str, str]
    argv: Sequence[str]


class _Part(msgspec.Struct, frozen=True):
    """A folder that is put into the image, without what has one of these names."""

    source: Path
    target: str
    without: frozenset[str] = frozenset()


async def make_image(
    engine: Engine, base: str, tag: str, content: Content, shown: Interpreter, place: Place
) -> str:
    """Make the image `tag` out of `base`, and return its id. Raises `ContainerFailed`."""
    parts = [_Part(content.tree, CODE, frozenset({".git"})), _Part(content.sdk, SDK)]
    if content.environment and content.environment.path:
        path = content.environment.path
        parts.append(_Part(path, str(path)))
        parts += await _interpreter(path, shown, place)
    return await asyncio.to_thread(_make, engine, base, tag, parts, _changes(content))


def _make(engine: Engine, base: str, tag: str, parts: Sequence[_Part], changes: list[str]) -> str:
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for part in parts:
                tar.add(part.source, part.target.lstrip("/"), filter=partial(_admit, part))
        archive.seek(0)
        return engine.add(base, archive, tag, changes)


def _admit(part: _Part, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The member as root's, as the files of images are, or None if it is to stay behind."""
    if os.path.basename(member.name) in part.without:
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


async def _interpreter(environment: Path, shown: Interpreter, place: Place) -> list[_Part]:
    """What the environment's Python needs besides what the image has of its own."""
    asked = ["readlink", "-f", str(environment / "bin" / "python")]
    told = await place.execution.setup(asked, cwd=Path("/"), env=place.variables or {})
    python = told.output.strip()
    if told.exit_code != 0 or not python:
        raise ContainerFailed("the environment's Python is not found", why=told.output.strip())
    return _behind(python, environment, shown)


def _behind(python: str, environment: Path, shown: Interpreter) -> list[_Part]:
    if python in (shown.path, shown.apart):
        unused = frozenset({"site-packages", "test", "__pycache__"})
        return [_Part(Path(mount.source), mount.target, unused) for mount in shown.mounts]
    home = Path(python).parents[1]
    # One that uv brought lies in the cache; any other is the image's own.
    return [_Part(home, str(home))] if home.is_relative_to(environment.parents[1]) else []


def _changes(content: Content) -> list[str]:
    """The image's settings, as instructions of a Dockerfile."""
    places = {str(content.tree): CODE, str(content.sdk): SDK}
    inside = {}
    for name, value in content.variables.items():
        for here, there in places.items():
            value = value.replace(here, there)
        inside[name] = value
    encode = msgspec.json.encode
    return [
        *(f"ENV {name}={encode(value).decode()}" for name, value in inside.items()),
        f"WORKDIR {os.path.normpath(os.path.join(CODE, content.folder))}",
        "ENTRYPOINT []",
        f"CMD {encode(list(content.argv)).decode()}",
    ]
