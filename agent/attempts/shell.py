"""`evq shell`: a shell, or one command, in the very place of an attempt on this machine.

Of an attempt that failed, the folder and a manifest are kept; a running one is asked through its
process. Nothing here needs the server.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec

from ...core.errors import Conflict, NotFound
from ...core.units import duration_text
from ..containers.shell import inside_another, inside_running
from ..environments.locks import try_hold
from ..environments.variables import IMAGE
from ..main import answer
from .kept import Manifest, manifest_of, read_manifest

FROM_THE_TERMINAL = ("TERM", "COLORTERM", "LANG", "LC_ALL", "DISPLAY")
"""What a shell takes from the terminal it is opened in, where the attempt had nothing."""

PLAIN = {"bash": ("--norc", "--noprofile"), "zsh": ("-f",), "fish": ("--no-config",)}
"""A shell's own settings would put other programs in front of the environment's."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an attempt ran, or runs. `locks` are the folders to hold while somebody is there,
    `way_in` is what stands before a shell's command line to have it run in a container."""

    folder: Path
    variables: dict[str, str]
    argv: tuple[str, ...]
    notes: tuple[str, ...]
    locks: tuple[Path, ...] = ()
    way_in: tuple[str, ...] = ()


def kept_place(folder: Path) -> Place:
    """The place of a failed attempt whose folder is kept. Raises `NotFound`."""
    manifest = read_manifest(manifest_of(folder))
    if manifest is None or not folder.is_dir():
        raise NotFound(
            f"there is no {folder} any more", why="it was kept for a while only", fix="evq repro"
        )
    minutes = max(1, round((manifest.until - time.time()) / 60))
    notes = [f"kept for another {duration_text(60.0 * minutes)}"]
    if manifest.left_out:
        notes.append(f"not set here, as they are secret: {', '.join(manifest.left_out)}")
    locks = [folder]
    if manifest.environment and Path(manifest.environment).is_dir():
        locks.append(Path(manifest.environment))
    elif manifest.environment:
        notes.append(f"its environment {manifest.environment} was removed meanwhile: evq repro")
    return Place(
        folder=Path(manifest.folder),
        variables=manifest.variables,
        argv=manifest.argv,
        notes=tuple(notes),
        locks=tuple(locks),
        way_in=tuple(_another_container(manifest)),
    )


def _another_container(manifest: Manifest) -> list[str]:
    if not manifest.container:
        return []
    return inside_another(manifest.container, Path(manifest.folder), manifest.variables)


def running_place(pid: int, task: str) -> Place:
    """The place of the running process `pid` of a task. Raises `NotFound` or `Conflict`."""
    process = Path("/proc") / str(pid)
    try:
        written = (process / "environ").read_bytes().split(b"\0")
        argv = (process / "cmdline").read_bytes().split(b"\0")
        folder = Path(os.readlink(process / "cwd"))
    except FileNotFoundError as gone:
        raise NotFound(f"process {pid} of task {task} has ended", fix="evq show") from gone
    except PermissionError as error:
        raise Conflict(
            f"process {pid} of task {task} belongs to another user",
            why=str(error),
            fix="open the shell as the user that runs the agent: sudo -u USER evq shell",
        ) from error
    pairs = (os.fsdecode(one).partition("=") for one in written if one)
    variables = {name: value for name, _, value in pairs}
    if variables.get("EVQ_TASK_ID") != task:
        raise NotFound(f"process {pid} of task {task} has ended", fix="evq show")
    words = tuple(os.fsdecode(word) for word in argv if word)
    notes = ("it runs: what you change here, it sees",)
    way_in = inside_running(task, folder, variables) if IMAGE in variables else ()
    return Place(folder=folder, variables=variables, argv=words, notes=notes, way_in=tuple(way_in))


def enter(place: Place, command: str | None) -> int:
    """Run a shell, or `command` by one, at the place; its exit status."""
    # An image need not have the shell of whoever looks into it.
    shell = (not place.way_in and os.environ.get("SHELL")) or "/bin/sh"
    if command is None:
        _introduce(place)
        argv = [shell, *PLAIN.get(Path(shell).name, ())]
    else:
        argv = ["/bin/sh", "-c", command]
    if place.way_in:
        return subprocess.call([*place.way_in, *argv])
    terminal = {name: os.environ[name] for name in FROM_THE_TERMINAL if name in os.environ}
    variables = {**terminal, **place.variables}
    variables.setdefault("PS1", f"(evq {variables.get('EVQ_TASK_ID', '')}) \\W $ ")
    holds = [try_hold(path, shared=True) or nullcontext() for path in place.locks]
    # Not ignored, which the shell would inherit: ^C is the shell's business, not ours.
    signal.signal(signal.SIGINT, lambda *_: None)
    status = subprocess.call(argv, cwd=place.folder, env=variables)
    del holds
    return status if status >= 0 else 128 - status


def _introduce(place: Place) -> None:
    print(f"in {place.folder}", file=sys.stderr)
    if place.argv:
        print(f"  ran   {' '.join(place.argv)}", file=sys.stderr)
    for note in place.notes:
        print(f"  note  {note}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Open the shell that the arguments describe; returns its exit status."""
    parser = argparse.ArgumentParser(prog="evq shell")
    parser.add_argument("--task", required=True)
    parser.add_argument("--kept", type=Path)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--command")
    options = parser.parse_args(argv)

    def act() -> int:
        place = kept_place(options.kept) if options.kept else running_place(*_process(options))
        return enter(place, options.command)

    return answer(act)


def _process(options: argparse.Namespace) -> tuple[int, str]:
    return options.pid, options.task


if __name__ == "__main__":
    sys.exit(main())
