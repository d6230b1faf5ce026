"""A process that cannot be mistaken for a later one that got the same number."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

_POLL_SECONDS = 0.05


class Identity(msgspec.Struct, frozen=True):
    """A process by its number and its time of birth; `born` is only good for comparing."""

    pid: int
    born: str

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return bool(self.born) and born(self.pid) == self.born

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it is gone."""
        try:
            if sys.platform != "linux":
                if self.alive():
                    os.kill(self.pid, number)
                return
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Asked once the pidfd is open: from then on the number cannot change hands.
            if self.alive():
                signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return
        finally:
            os.close(pidfd)

    def wait(self, seconds: float) -> bool:
        """Wait until it is gone, at most `seconds`; return whether it is."""
        if sys.platform != "linux":
            deadline = time.monotonic() + seconds
            while self.alive() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
            return not self.alive()
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if self.alive():
                select.select([pidfd], [], [], seconds)
            return not self.alive()
        finally:
            os.close(pidfd)

    def end(self, patience: float) -> None:
        """Ask it to end, and after `patience` seconds make it end."""
        self.signal(signal.SIGTERM)
        if not self.wait(patience):
            self.signal(signal.SIGKILL)
            self.wait(patience)


def born(pid: int) -> str:
    """When the process `pid` started, in a form only good for comparing; "" if there is none."""
    if sys.platform != "linux":
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    try:
        # The name in the second field may hold blanks and brackets, so count from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def myself() -> Identity:
    """The process that asks."""
    return Identity(os.getpid(), born(os.getpid()))
