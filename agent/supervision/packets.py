"""Messages between the agent and its supervisors, with descriptors. Standard library only.

A control socket is a pair of SOCK_SEQPACKET: a message arrives whole or not at all. Both ends are
the same Python, so that `marshal` will do: it costs no import, and strings may hold any bytes.
"""

from __future__ import annotations

import marshal
import os
import socket
from array import array
from collections.abc import Iterable
from typing import Any

INLINE_BYTES = 32 * 1024
FDS_SPACE = socket.CMSG_SPACE(4 * 4)
IN_MEMFD = b"\0"


def send(control: socket.socket, *message: Any, fds: Iterable[int] = ()) -> None:
    """Send one message. A large one travels in a memfd: a packet must fit the socket's buffer."""
    data = marshal.dumps(message)
    if len(data) <= INLINE_BYTES:
        socket.send_fds(control, [data], list(fds))
        return
    with open(os.memfd_create("evq-message"), "wb") as file:
        file.write(data)
        file.flush()
        socket.send_fds(control, [IN_MEMFD], [file.fileno(), *fds])


def receive(control: socket.socket) -> tuple[tuple[Any, ...], list[int]]:
    """The next message and its descriptors; an empty one when the other side is gone.

    Raises `BlockingIOError` when nothing is there yet and the socket does not block.
    """
    try:
        # socket.recv_fds drops the flags: commands would inherit the control sockets.
        data, extras, _, _ = control.recvmsg(INLINE_BYTES, FDS_SPACE, socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return (), []
    fds = array("i", extras[0][2]).tolist() if extras else []
    if data == IN_MEMFD:
        with open(fds.pop(0), "rb") as file:
            file.seek(0)
            data = file.read()
    return marshal.loads(data) if data else (), fds
