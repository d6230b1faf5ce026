"""The local socket on which tasks say metrics and progress, one per slot.

It belongs to a slot and not to an attempt, so that a short task pays nothing for it; by the time
a slot is given to another attempt, every process of the one before is dead.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

MAX_LINE = 64 * 1024
READ_BYTES = 256 * 1024


Value = float | Literal["nan", "inf", "-inf"]


def plain(number: float) -> Value:
    """The number as it can stand in JSON."""
    if math.isfinite(number):
        return number
    return "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"


class ProgressWords(msgspec.Struct):
    """How far a task says it is."""

    done: float
    total: float | None = None
    text: str = ""


class Words(msgspec.Struct):
    """One line from a task; `at` is microseconds since 1970 by the task's clock.

    With a `claim` it is for that attempt only: its speaker is no process of the attempt's own.
    """

    at: int | None = None
    step: int | None = None
    metrics: dict[str, Value] | None = None
    progress: ProgressWords | None = None
    params: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    outputs: dict[str, Any] | None = None
    claim: int | None = None


_decoder = msgspec.json.Decoder(Words)

Heard = Callable[[Words], None]
Garbled = Callable[[str], None]


class Channel:
    """A listening socket and those who speak on it."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """`scratch` is the slot's folder for tasks that bring no code."""
        self.path = path
        self.scratch = scratch
        self._heard: Heard | None = None
        self._garbled: Garbled | None = None
        self._speakers: dict[socket.socket, bytearray] = {}
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(128)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def attach(self, heard: Heard, garbled: Garbled) -> None:
        """Give what is said from now on to these."""
        self._heard, self._garbled = heard, garbled

    def detach(self) -> None:
        """Read what the attempt's processes left in the socket, then listen to nobody."""
        self.drain()
        for speaker in list(self._speakers):
            self._drop(speaker)
        self._heard = self._garbled = None

    def drain(self) -> None:
        """Read what the attempt's processes left in the socket.

        They are all dead, so that what they said is in the kernel already: nothing to wait for.
        """
        self._accept()
        for speaker in list(self._speakers):
            while speaker in self._speakers and self._read(speaker):
                pass

    def _accept(self) -> None:
        while True:
            try:
                speaker, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # out of descriptors: the task's words wait in the backlog
            speaker.setblocking(False)
            self._speakers[speaker] = bytearray()
            asyncio.get_running_loop().add_reader(speaker, self._read, speaker)

    def _read(self, speaker: socket.socket) -> bool:
        """Read once; False if there was nothing to read or the speaker has gone."""
        try:
            data = speaker.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._drop(speaker)
            return False
        buffer = self._speakers[speaker]
        buffer += data
        *lines, rest = bytes(buffer).split(b"\n")
        self._speakers[speaker] = bytearray(rest)
        for line in lines:
            self._line(line)
        if len(rest) > MAX_LINE:
            self._complain(f"a line longer than {MAX_LINE // 1024} KiB")
            self._drop(speaker)
            return False
        return True

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            words = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._complain(str(error))
            return
        if self._heard:
            self._heard(words)

    def _complain(self, why: str) -> None:
        if self._garbled:
            self._garbled(why)

    def _drop(self, speaker: socket.socket) -> None:
        if self._speakers.pop(speaker, None) is not None:
            asyncio.get_running_loop().remove_reader(speaker)
            speaker.close()

    def close(self) -> None:
        """Close all sockets and remove the path."""
        for speaker in list(self._speakers):
            self._drop(speaker)
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)
