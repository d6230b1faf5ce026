"""How the command line becomes, or asks, another room's process: the agent, the projector.

This room may not import those; it replaces itself by them, or reads what they print. The login
travels in the environment, because everybody on the machine can read a command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from ...core.errors import EvqError
from ...core.settings import Settings
from ..calling import login

if TYPE_CHECKING:
    from ...core.bus.connect import Login

LOGIN = "EVQ_LOGIN"
CLIENT_LOGIN = "EVQ_CLIENT_LOGIN"
"""Who the tasks of an agent are to the server, if they are somebody else than the agent."""


def become(module: str, arguments: Sequence[str], known: Settings) -> NoReturn:
    """Go on as `python -m MODULE ARGUMENTS`, logged in as the settings say."""
    ours = login(known)
    environment = {**os.environ, LOGIN: msgspec.json.encode(ours).decode()}
    if known.client_token or known.client_creds:
        environment[CLIENT_LOGIN] = msgspec.json.encode(_of_tasks(ours, known)).decode()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, _argv(module, arguments), environment)


def _of_tasks(ours: Login, known: Settings) -> Login:
    return msgspec.structs.replace(
        ours,
        user=None,
        password=None,
        nkey=None,
        token=known.client_token,
        creds=known.client_creds,
    )


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
