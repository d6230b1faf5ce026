"""The first process of a container: a supervisor for the agent outside. Standard library only.

It begins by calling the agent on the socket that was mounted for it. An agent that does not
listen any more is dead, and then so is the container: its first process ends, and with it all.
"""

from __future__ import annotations

import os
import signal
import socket

from ..supervision.forking import IGNORED
from ..supervision.supervisor import Supervisor


def main(path: str) -> None:
    """Serve the agent that listens at `path`, until it is gone."""
    for name in IGNORED.split():
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    os.chdir("/")
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(path)
    Supervisor(control).serve()
