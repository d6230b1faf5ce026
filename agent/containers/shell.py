"""How a shell gets into a container: by the engine's own command line, which knows terminals."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core.errors import NotFound
from .engine import TASK


def inside_running(task: str, folder: Path, variables: Mapping[str, str]) -> list[str]:
    """The command line before a shell's, for the container that runs `task`. Raises `NotFound`."""
    command = _command()
    listed = subprocess.run(
        [command, "ps", "--quiet", "--filter", f"label={TASK}={task}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if not (found := listed.stdout.split()):
        raise NotFound(
            f"no container of task {task} is found",
            why=listed.stderr.strip() or "none carries its label",
            fix=f"evq show {task}",
        )
    return [command, "exec", *_options(folder, variables), found[0]]


def inside_another(
    container: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> list[str]:
    """The same for a new container; `container` are words of `docker run` with the image last."""
    *options, image = container
    return [_command(), "run", *options, *_options(folder, variables), image]


def _command() -> str:
    command = shutil.which("docker") or shutil.which("podman")
    if command is None:
        raise NotFound(
            "a shell in a container needs the command docker or podman",
            why="neither is on the PATH of this machine",
            fix="apt install docker.io",
        )
    return command


def _options(folder: Path, variables: Mapping[str, str]) -> list[str]:
    terminal = ("--interactive", "--tty") if sys.stdin.isatty() else ("--interactive",)
    given = (word for pair in variables.items() for word in ("--env", "=".join(pair)))
    return [*terminal, "--workdir", str(folder), *given]
