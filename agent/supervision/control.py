"""The agent's end of a control socket (see `packets`), read by its event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .packets import receive, send


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new control socket."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Control:
    """Our end of a control socket, read by the event loop. The descriptors of a message follow its
    words."""

    def __init__(
        self,
        ours: socket.socket,
        heard: Callable[[tuple[Any, ...]], None],
        ended: Callable[[], None],
    ) -> None:
        self._ours = ours
        self._ours.setblocking(False)
        self._heard = heard
        self._ended = ended
        self.open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._readable)

    def _readable(self) -> None:
        try:
            message, fds = receive(self._ours)
        except BlockingIOError:
            return
        if message:
            self._heard((*message, *fds))
        else:
            self.close()
            self._ended()

    def send(self, *message: object, fds: Sequence[int] = ()) -> bool:
        """Send a message; False if the other side has not read for so long that none fits."""
        try:
            if self.open:
                send(self._ours, *message, fds=fds)
        except BlockingIOError:
            return False
        except ConnectionError:
            # The end will be read, after what was said before it.
            return True
        return True

    def shut(self) -> None:
        """Let the other side read the end."""
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Neither read nor write any more."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._ours)
            self._ours.close()
