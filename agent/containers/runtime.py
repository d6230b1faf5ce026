"""What of this machine is shown to a container, so that our own Python runs in any image.

An image may have no Python, an old C library or another one. So our supervisor runs with this
machine's own C library, mounted read-only under `/opt/evq` as all of ours is. What it starts
knows nothing of that: it runs with the image's own.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

ROOM = "/opt/evq"
"""Where in a container everything of ours is."""

PYTHON = f"{ROOM}/python"

AUTHORITIES = f"{ROOM}/authorities.pem"
"""Who is trusted. Not where an image has its own file: `ca-certificates` replaces that."""

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


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python that is shown to containers.

    `path` is its program in a container, which runs with the image's C library, and `apart` one
    that runs without it, if there is such a one. `key` is the name of its content. `start` is how
    our supervisor is started with it, which also needs the mounts `libraries`.
    """

    key: str
    path: str
    apart: str = ""
    mounts: tuple[Mount, ...]
    start: tuple[str, ...]
    libraries: tuple[Mount, ...] = ()


class Runtime(msgspec.Struct, frozen=True):
    """The first process of a container: its command line without the socket, and its mounts."""

    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]


def runtime(interpreter: Interpreter) -> Runtime:
    """Our supervisor, run by that interpreter."""
    options = ("-I", "-S", "-E", "-X", "frozen_modules=on")
    agent = Mount(str(Path(__file__).parents[1]), f"{ROOM}/agent")
    return Runtime(
        argv=(*interpreter.start, *options, "-c", BOOT, agent.target),
        mounts=(*interpreter.mounts, *interpreter.libraries, agent),
    )
