"""What an image has below Python: its C library, and whether any Python runs there."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path

import uv
from packaging.version import Version

from ...core.errors import EnvironmentFailed, SpawnFailed
from ..attempts.command import Completed, Run

_GLIBC = re.compile(r"^ldd \(.*\) (\d+\.\d+)", re.MULTILINE)


async def c_library(ask: Run, env: Mapping[str, str]) -> str:
    """The C library where `ask` runs commands: `glibc-2.36`, `musl`, or `unknown`."""
    try:
        done = await ask(["ldd", "--version"], cwd=Path("/"), env=env)
    except SpawnFailed:
        return "unknown"
    if "musl" in done.output:
        return "musl"
    found = _GLIBC.search(done.output)
    return f"glibc-{found[1]}" if found else "unknown"


def own_c_library() -> str:
    """This machine's, in the same words."""
    return "-".join(platform.libc_ver())


def is_older(library: str) -> bool:
    """Whether what was built on this machine may not run with that C library."""
    name, _, version = library.partition("-")
    own_name, _, own_version = own_c_library().partition("-")
    return name != own_name or Version(version) < Version(own_version)


async def check_uv_runs(image: str, library: str, ask: Run, env: Mapping[str, str]) -> None:
    """Raise `EnvironmentFailed` if this machine's uv cannot run with that C library."""
    if library.startswith("glibc-"):
        return
    try:
        done = await ask([uv.find_uv_bin(), "--version"], cwd=Path("/"), env=env)
    except SpawnFailed:
        done = Completed(127, "")
    if done.exit_code != 0:
        raise EnvironmentFailed(
            f"no environment can be made in {image}",
            why=f"its C library is {library}, and uv on the agent's machine is built for"
            f" {own_c_library()}",
            fix="take an image of a Debian kind (--docker python:3.12-slim), or --env none",
        )


async def check_python_runs(image: str, own: str, ask: Run, env: Mapping[str, str]) -> None:
    """Raise `EnvironmentFailed` if no `python3` runs there, neither its own nor the agent's,
    which is at the path `own`."""
    try:
        done = await ask(["python3", "--version"], cwd=Path("/"), env=env)
    except SpawnFailed as error:
        done = Completed(127, error.what)
    if done.exit_code != 0:
        raise EnvironmentFailed(
            f"no Python runs in {image}",
            why=f"it has none of its own, and {own} of the agent's machine"
            f" ({own_c_library()}) does not run there: {done.output.strip()[-300:]}",
            fix="take an image that has one: --docker python:3.12-slim",
        )
