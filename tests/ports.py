"""Ports that stay free for the program that a test tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evq.cli.stack import embedded


@contextmanager
def kept_port() -> Iterator[int]:
    """A port at which nobody listens but who is told of it."""
    port = embedded.Port(embedded.Address("127.0.0.1", 0))
    try:
        yield port.number
    finally:
        port.release()
