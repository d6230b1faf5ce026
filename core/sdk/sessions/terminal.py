"""Shells in a task for those who come through a tunnel. Standard library only.

It stands alone, as `evq_terminal.py`, beside `evq_session.py`. A visitor hears that somebody is
there by an empty piece, and sends one line of JSON with the token of the task's ports and the size
of the terminal; then both sides send pieces, each with a head of its kind and length. A shell ends
with its visitor.
"""

from __future__ import annotations

import asyncio
import fcntl
import hmac
import json
import os
import pty
import shutil
import signal
import socket
import struct
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT, SIZE, STATUS = range(3)
"""Kinds of pieces: what is typed or shown; rows and columns; the shell's exit status, the last."""

HEAD = struct.Struct(">BI")
GREETING_SECONDS = 10.0
READ_BYTES = 64 * 1024
LOOK_SECONDS = 0.1

PLAIN = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": ["--no-config"]}
"""A shell's own settings would put other programs in front of the environment's."""


def piece(kind: int, data: bytes) -> bytes:
    """What is sent, with its head."""
    return HEAD.pack(kind, len(data)) + data


async def read_piece(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next piece. Raises `asyncio.IncompleteReadError` at the end."""
    kind, length = HEAD.unpack(await reader.readexactly(HEAD.size))
    return kind, await reader.readexactly(length)


def serve(listener: socket.socket, idle: float, token: str) -> None:
    """Give shells to visitors until nothing was done in any for `idle` seconds (0: for ever)."""
    asyncio.run(_Terminals(token).serve(listener, idle))


class _Terminals:
    def __init__(self, token: str) -> None:
        self._token = token
        self._shells: set[_Shell] = set()
        self._active = time.monotonic()

    async def serve(self, listener: socket.socket, idle: float) -> None:
        server = await asyncio.start_server(self._visit, sock=listener)
        print("terminals can be opened", flush=True)
        try:
            while not idle or time.monotonic() - self._active < idle:
                await asyncio.sleep(min(5.0, idle / 10) if idle else 60.0)
                if any(shell.is_busy() for shell in self._shells):
                    self._used()
        finally:
            server.close()
            for shell in list(self._shells):
                shell.end()

    def _used(self) -> None:
        self._active = time.monotonic()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(piece(TEXT, b""))  # a sign of life
        try:
            greeting = json.loads(
                await asyncio.wait_for(reader.readline(), GREETING_SECONDS) or b"{}"
            )
            if not hmac.compare_digest(str(greeting.get("token")), self._token):
                return
            shell = _Shell(greeting["rows"], greeting["columns"], greeting.get("term") or "xterm")
            self._shells.add(shell)
            try:
                self._used()
                await shell.run(reader, writer, self._used)
            finally:
                self._shells.discard(shell)
                self._used()
        except (OSError, ValueError, KeyError, TypeError, asyncio.TimeoutError):  # noqa: UP041 - apart before 3.11
            return
        finally:
            writer.close()


class _Shell:
    def __init__(self, rows: int, columns: int, term: str) -> None:
        argv = _shell()
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            name = os.environ.get("EVQ_NAME", "task")
            prompt = {"TERM": term, "PS1": f"({name}) \\W \\$ "}
            try:
                os.execvpe(argv[0], argv, {**os.environ, **prompt})
            finally:
                os._exit(127)
        os.set_blocking(self._terminal, False)
        self._status: int | None = None
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def is_busy(self) -> bool:
        """Whether a program runs in its foreground."""
        with suppress(OSError):
            return self._status is None and os.tcgetpgrp(self._terminal) != self._pid
        return False

    async def run(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        used: Callable[[], Any],
    ) -> None:
        """Until the shell has ended or its visitor has gone."""
        parts = [
            asyncio.ensure_future(part)
            for part in (self._hear(reader, used), self._show(writer, used), self._until_dead())
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            if parts[1].done() or parts[2].done():
                await asyncio.wait(parts[2:], timeout=LOOK_SECONDS * 5)
                await asyncio.wait(parts[1:2], timeout=LOOK_SECONDS)
                writer.write(piece(STATUS, str(self._status or 0).encode()))
                await writer.drain()
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self.end()

    async def _hear(self, reader: asyncio.StreamReader, used: Callable[[], Any]) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                kind, data = await read_piece(reader)
                used()
                if kind == SIZE:
                    self.resize(*json.loads(data))
                elif kind == TEXT:
                    await self._type(data)

    async def _type(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._terminal, data) :]
            except BlockingIOError:
                await _ready(self._terminal, for_writing=True)

    async def _show(self, writer: asyncio.StreamWriter, used: Callable[[], Any]) -> None:
        while True:
            await _ready(self._terminal)
            try:
                data = os.read(self._terminal, READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return  # nobody has it open any more
            used()
            writer.write(piece(TEXT, data))
            await writer.drain()

    async def _until_dead(self) -> None:
        while not self._look():  # noqa: ASYNC110 - nobody tells of a child's death
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                code = os.WEXITSTATUS(status)
                self._status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else code
        return self._status is not None

    def end(self) -> None:
        """Hang up: what is left in it is told so, as in any terminal that is closed."""
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1
        if not self._look():
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGHUP)


def _shell() -> list[str]:
    named = os.environ.get("SHELL", "")
    shell = named if shutil.which(named) else shutil.which("bash") or "/bin/sh"
    return [shell, *PLAIN.get(os.path.basename(shell), [])]


async def _ready(descriptor: int, for_writing: bool = False) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer)
        if for_writing
        else (loop.add_reader, loop.remove_reader)
    )

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, tell)
    try:
        await ready
    finally:
        remove(descriptor)
