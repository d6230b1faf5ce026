"""What of this machine is shown to a container, so that our own Python runs in any image.

An image may have no Python, an old C library or another one. So our supervisor is started by this
machine's own loader, with this machine's own C library, all mounted read-only under `/opt/evq`.
What it starts knows nothing of that: it runs with the image's own.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import msgspec

from ...core.errors import ContainerFailed

ROOM = "/opt/evq"
"""Where in a container everything of ours is."""

PYTHON = f"{ROOM}/python"
TOOLS = f"{ROOM}/bin"
"""The folder that goes last on a container's PATH: the interpreter for images without one."""

AUTHORITIES = f"{ROOM}/authorities.pem"
"""Who is trusted. Not where an image has its own file: `ca-certificates` replaces that."""

SHARED_PREFIXES = ("/usr", "/usr/local")
"""Prefixes of an interpreter that an image has, too: they cannot be mounted over its own."""

BOOT = """
import sys
package = sys.modules["agent"] = type(sys)("agent")
package.__path__ = [sys.argv[1]]
from agent.containers.inside import main
main(sys.argv[2])
"""


class Mount(msgspec.Struct, frozen=True):
    """A file or folder of this machine, shown in a container at `target`."""

    source: str
    target: str
    writable: bool = False


def same(path: str | Path, *, writable: bool = False) -> Mount:
    """A mount at the very path that it has on this machine."""
    return Mount(str(path), str(path), writable)


class Runtime(msgspec.Struct, frozen=True):
    """The first process of a container: its command line without the socket, and its mounts."""

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]


@cache
def runtime() -> Runtime:
    """This machine's. Raises `ContainerFailed` where the interpreter is of an unknown kind."""
    loader, libraries = _loaded()
    interpreter = os.path.realpath(sys.executable)
    prefix = os.path.realpath(sys.base_prefix)
    inside = os.path.join(PYTHON, os.path.relpath(interpreter, prefix))
    places = {folder: f"{ROOM}/lib/{number}" for number, folder in enumerate(libraries)}
    # An interpreter's own library first: the machine may have another one of that name.
    path = ":".join([f"{PYTHON}/lib", *places.values()])
    options = ("-I", "-S", "-E", "-X", "frozen_modules=on")
    agent = Path(__file__).parents[1]
    return Runtime(
        argv=(
            os.path.join(places[os.path.dirname(loader)], os.path.basename(loader)),
            *("--inhibit-cache", "--library-path", path),
            *(inside, *options, "-c", BOOT, f"{ROOM}/agent"),
        ),
        mounts=(
            Mount(prefix, PYTHON),
            Mount(str(agent), f"{ROOM}/agent"),
            *(Mount(folder, place) for folder, place in places.items()),
        ),
    )


def own_python() -> str:
    """The path in a container of the interpreter for tasks in images that have none."""
    prefix = os.path.realpath(sys.base_prefix)
    interpreter = os.path.realpath(sys.executable)
    if prefix in SHARED_PREFIXES:
        return os.path.join(PYTHON, os.path.relpath(interpreter, prefix))
    return interpreter


def interpreter_mounts(folder: Path) -> tuple[Mount, ...]:
    """The mounts that make `python3` a command in images that have none; `folder` is for links."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python3", f"python3.{sys.version_info.minor}"):
        part = folder / f".{name}.{os.getpid()}"
        part.unlink(missing_ok=True)
        part.symlink_to(own_python())
        part.replace(folder / name)
    links = Mount(str(folder), TOOLS)
    prefix = os.path.realpath(sys.base_prefix)
    # At its own path, too: it may look for its library there.
    return (links,) if prefix in SHARED_PREFIXES else (links, same(prefix))


def _loaded() -> tuple[str, list[str]]:
    """The dynamic loader of this process, and the folders that its libraries came from."""
    import ctypes  # noqa: F401  (so that what our supervisor loads is loaded here)

    prefix = os.path.realpath(sys.base_prefix)
    own = os.path.join(prefix, "lib", "python") if prefix in SHARED_PREFIXES else prefix + os.sep
    with open("/proc/self/maps") as maps:
        files = {line.split(maxsplit=5)[5].strip() for line in maps if "/" in line}
    ours = (os.path.realpath(sys.prefix) + os.sep, own)
    libraries = sorted(
        file for file in files if ".so" in os.path.basename(file) and not file.startswith(ours)
    )
    loaders = [file for file in libraries if os.path.basename(file).startswith("ld-")]
    if not loaders:
        raise ContainerFailed(
            "this agent cannot run containers",
            why=f"its Python, {sys.executable}, has no dynamic loader that could be mounted",
            fix="run the agent with a Python of this machine's own C library",
        )
    return loaders[0], sorted({os.path.dirname(file) for file in libraries})
