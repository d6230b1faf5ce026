"""Why a command could not be started, in words that help."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core.errors import SpawnFailed


class MachineFailed(SpawnFailed):
    """This machine could not carry the command, whatever it is; another may, or this one later."""


def refusal(
    stage: str, number: int, argv: Sequence[str], cwd: str | Path, env: Mapping[str, str]
) -> SpawnFailed:
    """The error for a command that failed at `stage` with the error `number`."""
    name = argv[0] if argv else ""
    what = f"the command {name!r} cannot be started"
    match stage:
        case "stopped":
            return SpawnFailed(what, why="the attempt was told to end")
        case "lost":
            return MachineFailed(what, why="its supervisor was killed")
        case "lease":
            return MachineFailed(what, why="the lease of the attempt ran out")
        case "cgroup":
            return MachineFailed(
                what, why=f"its process could not enter its cgroup: {os.strerror(number)}"
            )
        case "cwd":
            return SpawnFailed(
                f"the working folder {cwd} cannot be entered",
                why=os.strerror(number),
                fix="check that the folder is part of the task's code",
            )
    match number:
        case errno.ENOENT if "/" not in name:
            return SpawnFailed(
                f"there is no command {name!r}",
                why=f"PATH is {env.get('PATH', os.defpath)}",
                fix="add what provides it to the task's dependencies, or give the whole path",
            )
        case errno.ENOENT if os.path.lexists(os.path.join(cwd, name)):
            return SpawnFailed(
                what,
                why="the interpreter that its first line or its header names does not exist here",
                fix=f"run it by an interpreter that does, such as: python3 {name}",
            )
        case errno.ENOENT:
            return SpawnFailed(
                f"there is no file {name}",
                why=f"relative paths begin at {cwd}",
                fix="check that the file is part of the task's code: git ls-files",
            )
        case errno.EACCES:
            return SpawnFailed(
                what, why="the file is not executable", fix=f"git update-index --chmod=+x {name}"
            )
        case errno.ENOEXEC:
            return SpawnFailed(
                what,
                why="the file is no program for this machine, and no script with a #! line",
                fix="begin the script with a line such as: #!/usr/bin/env bash",
            )
        case errno.E2BIG:
            return SpawnFailed(
                what,
                why="its arguments and variables are larger than this machine allows",
                fix="pass large values in a file",
            )
        case errno.EAGAIN | errno.ENOMEM | errno.ENFILE | errno.EMFILE:
            return MachineFailed(what, why=os.strerror(number))
        case _:
            return SpawnFailed(what, why=os.strerror(number))
