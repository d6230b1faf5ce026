"""How the command line becomes another room's process: the agent, the projector.

This room may not import those; it replaces itself by them. The login travels in the
environment, because everybody on the machine can read a command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from ..core.settings import Settings
from .session import login

LOGIN = "EVQ_LOGIN"


def become(module: str, arguments: Sequence[str], known: Settings) -> NoReturn:
    """Go on as `python -m MODULE ARGUMENTS`, logged in as the settings say."""
    environment = {**os.environ, LOGIN: msgspec.json.encode(login(known)).decode()}
    sys.stdout.flush()
    sys.stderr.flush()
    # -P: a `queue.py` in the folder where the user happens to be must not replace Python's.
    argv = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(sys.executable, argv, environment)
