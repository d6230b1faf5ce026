"""How the command line becomes, or asks, another room's process: the agent, the projector.

This room may not import those; it replaces itself by them, or reads what they print. The login
travels in the environment, because everybody on the machine can read a command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import msgspec

from ...core.errors import EvqError
from ...core.settings import Settings
from ..session import login

LOGIN = "EVQ_LOGIN"


def become(module: str, arguments: Sequence[str], known: Settings) -> NoReturn:
    """Go on as `python -m MODULE ARGUMENTS`, logged in as the settings say."""
    environment = {**os.environ, LOGIN: msgspec.json.encode(login(known)).decode()}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, _argv(module, arguments), environment)


def ask(module: str, arguments: Sequence[str]) -> Any:
    """What `python -m MODULE ARGUMENTS` prints, which is one JSON value. Needs no server."""
    done = subprocess.run(_argv(module, arguments), stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise EvqError(
            "a part of evq failed",
            why=f"python -m {module} ended with {done.returncode}; what it said stands above",
            fix="evq doctor",
        )
    return msgspec.json.decode(done.stdout)


def _argv(module: str, arguments: Sequence[str]) -> list[str]:
    # -P: a `queue.py` in the folder where the user happens to be must not replace Python's.
    return [sys.executable, "-P", "-m", module, *arguments]
