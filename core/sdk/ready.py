"""Tells whoever started this process that it does its work now.

The protocol is systemd's (sd_notify), so a unit of `Type=notify` understands it as `evq up` does.
"""

from __future__ import annotations

import os
import socket


def tell_ready() -> None:
    """Say READY=1 on NOTIFY_SOCKET; without it nobody asked."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    # A leading @ stands for the null byte of Linux's abstract names.
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(b"READY=1", address)
        except OSError:
            return  # whoever asked has gone
