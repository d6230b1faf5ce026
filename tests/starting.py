"""A program of evq as a process: started, awaited until it does its work, and ended."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec
import waiting

from evq.core.bus.connect import Login

PATIENCE = waiting.PATIENCE


class Program:
    """From its start until its end has been seen; what it says of itself goes to the file `log`."""

    name: str | None = None

    def __init__(
        self, argv: Sequence[str], login: Login, log: Path, more: Mapping[str, str] | None = None
    ) -> None:
        """`more` are variables that it has beside ours and its login."""
        self._log = log
        self._ears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ears.bind("")
        environment = {**os.environ, **(more or {})}
        environment["EVQ_LOGIN"] = msgspec.json.encode(login).decode()
        environment["NOTIFY_SOCKET"] = "@" + self._ears.getsockname()[1:].decode()
        with self._log.open("wb") as said:
            self.process = subprocess.Popen(argv, env=environment, stderr=said)

    def ready(self) -> Self:
        """Itself, when it has said that it does its work."""
        over = os.pidfd_open(self.process.pid)
        heard, _, _ = select.select([self._ears, over], [], [], PATIENCE)
        os.close(over)
        assert self._ears in heard, f"it did not begin: {self.said}"
        return self

    @property
    def said(self) -> str:
        """What it has written about itself."""
        return self._log.read_text()

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End it if it runs, and show what it said in case the test has failed."""
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._ears.close()
        print(f"{self.name or type(self).__name__}:\n{self.said}")
