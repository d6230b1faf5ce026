"""What a notebook needs besides its environment: Jupyter to run it, and a place for what came out.

Jupyter's packages, and the tools that other tasks ask for, are an environment of their own, made
once for each Python version and laid behind the task's: so nothing is installed into a locked
environment, and nothing in it changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core.notebooks import PREFIX
from ...core.ports import BusAway
from ...core.sdk.notebook import PATH, output_of
from ...core.sdk.sessions.serving import TOOLS
from .. import environments
from ..environments.base import Environment, Request
from ..means import Means
from ..reporting.redactor import Redactor
from .command import Run

JUPYTER = ("nbclient>=0.10,<1", "ipykernel>=6.29,<8")


async def tools(
    packages: Sequence[str],
    tree: Path,
    cache: Path,
    environment: Environment | None,
    run: Run,
    base_env: Mapping[str, str],
) -> Environment:
    """The environment with `packages` for the Python of `environment`, made beside the task's
    `tree`. Raises `EnvironmentFailed`."""
    version = (environment and environment.python) or platform.python_version()
    python = ".".join(version.split(".")[:2])
    # In an empty folder, which a container sees: no settings of the task's code have a say here.
    with tempfile.TemporaryDirectory(prefix="evq-tools-", dir=tree.parent) as empty:
        request = Request(manager="uv", requirements=tuple(packages), python=python)
        recipe = environments.detect(Path(empty), request)
        return await environments.prepare(
            recipe,
            tree=Path(empty),
            cache=cache,
            run=run,
            base_env=base_env,
        )


def variables(tools: Environment) -> dict[str, str]:
    """What tells the notebook's runner, or a session, where Jupyter is."""
    assert tools.path is not None
    (packages,) = (tools.path / "lib").glob("python*/site-packages")
    return {PATH: str(packages), TOOLS: str(tools.path)}


async def keep(means: Means, notebook: Path, redactor: Redactor) -> str | None:
    """Store the notebook with its outputs, without secrets, under the name that is returned.

    None if it never ran.
    """
    written = output_of(notebook)
    if written.is_symlink() or not written.is_file():
        return None
    name = f"{PREFIX}{await asyncio.to_thread(_redact, written, redactor)}"
    while True:
        try:
            await means.bus.objects.put(name, written)
            return name
        except BusAway as away:
            await means.bus.wait(away)


def _redact(file: Path, redactor: Redactor) -> str:
    """Take the secrets out of `file`, and return the digest of what is left."""
    said = redactor.text(file.read_text(errors="surrogateescape"))
    data = said.encode(errors="surrogateescape")
    file.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
