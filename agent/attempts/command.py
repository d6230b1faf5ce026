"""How a step of an attempt runs a command: the port between set-up code and the supervisor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec


class Completed(msgspec.Struct, frozen=True):
    """A command that ended.

    `exit_code` is 0..255, or the negative signal number that ended it (as in `subprocess`).
    `output` is the last part (at most 64 KiB) of stdout and stderr together, decoded.
    """

    exit_code: int
    output: str


class Run(Protocol):
    """Runs one command to its end, its output going to the task's log as set-up.

    `env` is the whole environment of the command, nothing is inherited.
    Raises `evq.core.errors.SpawnFailed` when it cannot be started.
    """

    async def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> Completed: ...
