"""This terminal as one of a session: what is typed goes there, what is shown comes from there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.errors import TunnelFailed
from ...core.sdk.sessions.terminal import SIZE, STATUS, TEXT, piece, read_piece
from .. import output

if TYPE_CHECKING:
    from ...core.sdk.tunnels.tunnel import Tunnel

READ_BYTES = 64 * 1024
ESCAPE = b"~."
"""Behind Enter, as ssh has it: leave, even if nothing answers any more."""


async def visit(tunnel: Tunnel) -> int:
    """Be in a shell of the session until it ends; its exit status."""
    reader, writer = await asyncio.open_connection(*tunnel.address)
    columns, rows = _size()
    greeting = {"token": tunnel.token, "rows": rows, "columns": columns}
    greeting["term"] = os.environ.get("TERM", "xterm")
    writer.write(json.dumps(greeting).encode() + b"\n")
    output.note(output.dim("  exit ends the shell; Enter ~ . leaves at once"))
    with _raw():
        return await _carry(reader, writer)


def _size() -> os.terminal_size:
    """Columns and rows as they are, whatever the environment says they were."""
    try:
        return os.get_terminal_size(sys.stdin.fileno())
    except OSError:
        return os.terminal_size((80, 24))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    loop = asyncio.get_running_loop()
    left = asyncio.Event()
    tail = b"\n"

    def typed() -> None:
        nonlocal tail
        data = os.read(sys.stdin.fileno(), READ_BYTES)
        if not data:
            # What is piped in has ended: the shell is told as by ^D.
            loop.remove_reader(sys.stdin.fileno())
            data = b"\x04"
        tail = (tail + data)[-3:]
        if tail in (b"\r" + ESCAPE, b"\n" + ESCAPE):
            left.set()
        writer.write(piece(TEXT, data))

    def resized() -> None:
        columns, rows = _size()
        writer.write(piece(SIZE, json.dumps([rows, columns]).encode()))

    loop.add_reader(sys.stdin.fileno(), typed)
    loop.add_signal_handler(signal.SIGWINCH, resized)
    showing = asyncio.ensure_future(_show(reader))
    leaving = asyncio.ensure_future(left.wait())
    try:
        await asyncio.wait((showing, leaving), return_when=asyncio.FIRST_COMPLETED)
        return showing.result() if showing.done() else 0
    finally:
        loop.remove_reader(sys.stdin.fileno())
        loop.remove_signal_handler(signal.SIGWINCH)
        for part in (showing, leaving):
            part.cancel()
        await asyncio.gather(showing, leaving, return_exceptions=True)
        writer.close()


async def _show(reader: asyncio.StreamReader) -> int:
    while True:
        try:
            kind, data = await read_piece(reader)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise TunnelFailed(
                "the terminal was closed from the other side",
                why="the session has ended, or the way to it broke",
                fix="evq session connect",
            ) from error
        if kind == STATUS:
            return int(data)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the other side as it is, ^C too."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin, termios.TCSADRAIN)  # what was typed ahead is kept
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
