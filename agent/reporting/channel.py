"""The local socket on which tasks say metrics and progress, and ask for files, one per slot.

It belongs to a slot and not to an attempt, so that a short task pays nothing for it; by the time
a slot is given to another attempt, every process of the one before is dead.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import stat
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

MAX_LINE = 64 * 1024
READ_BYTES = 256 * 1024
MOST_FILES = 8
"""Descriptors that a speaker may send ahead of the lines that they belong to."""


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


class SaveWords(msgspec.Struct):
    """What a task wants to be kept under a name; a folder comes as an archive."""

    name: str
    folder: bool = False


class LoadWords(msgspec.Struct):
    """What a task wants of a task; `@` is itself. Without an attempt, what counts of it."""

    task: str
    name: str
    attempt: int | None = None


class Words(msgspec.Struct):
    """One line from a task; `at` is microseconds since 1970 by the task's clock.

    With a `claim` it is for that attempt only: its speaker is no process of the attempt's own.
    With the number of an `ask` it wants an answer; `file` says that a descriptor came with it.
    `port` asks for a free one, which its tunnels lead to from now on.
    """

    at: int | None = None
    step: int | None = None
    metrics: dict[str, Value] | None = None
    progress: ProgressWords | None = None
    params: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    outputs: dict[str, Any] | None = None
    claim: int | None = None
    ask: int | None = None
    file: bool = False
    save: SaveWords | None = None
    load: LoadWords | None = None
    port: bool = False


_decoder = msgspec.json.Decoder(Words)

Heard = Callable[[Words], None]
Garbled = Callable[[str], None]
Asked = Callable[[Words, BinaryIO | None], Coroutine[Any, Any, dict[str, Any]]]
"""Gives the answer to an ask, without its number; the file is closed behind it."""


@dataclass
class Speaker:
    """What came from a connection and is not used yet, and the asks that are being answered."""

    rest: bytes = b""
    files: deque[int] = field(default_factory=deque)
    asks: set[asyncio.Task[None]] = field(default_factory=set)


class Channel:
    """A listening socket and those who speak on it."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """`scratch` is the slot's folder for tasks that bring no code."""
        self.path = path
        self.scratch = scratch
        self._heard: Heard | None = None
        self._garbled: Garbled | None = None
        self._asked: Asked | None = None
        self._speakers: dict[socket.socket, Speaker] = {}
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(128)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def attach(self, heard: Heard, garbled: Garbled, asked: Asked | None = None) -> None:
        """Give what is said from now on to these."""
        self._heard, self._garbled, self._asked = heard, garbled, asked

    def detach(self) -> None:
        """Read what the attempt's processes left in the socket, then listen to nobody."""
        self.drain()
        for speaker in list(self._speakers):
            self._drop(speaker)
        self._heard = self._garbled = self._asked = None

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
            self._speakers[speaker] = Speaker()
            asyncio.get_running_loop().add_reader(speaker, self._read, speaker)

    def _read(self, speaker: socket.socket) -> bool:
        """Read once; False if there was nothing to read or the speaker has gone."""
        try:
            data, files, _, _ = socket.recv_fds(
                speaker, READ_BYTES, MOST_FILES, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data, files = b"", []
        heard = self._speakers[speaker]
        heard.files += files
        if not data:
            self._drop(speaker)
            return False
        *lines, heard.rest = (heard.rest + data).split(b"\n")
        for line in lines:
            self._line(speaker, line)
        if len(heard.files) > MOST_FILES:
            self._complain(f"more than {MOST_FILES} files that no line asks about")
            self._drop(speaker)
            return False
        if len(heard.rest) > MAX_LINE:
            self._complain(f"a line longer than {MAX_LINE // 1024} KiB")
            self._drop(speaker)
            return False
        return True

    def _line(self, speaker: socket.socket, line: bytes) -> None:
        if not line.strip():
            return
        try:
            words = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._complain(str(error))
            return
        if words.ask is not None:
            self._begin_ask(speaker, words)
        elif self._heard:
            self._heard(words)

    def _begin_ask(self, speaker: socket.socket, words: Words) -> None:
        heard = self._speakers.get(speaker)
        if heard is None or self._asked is None:
            return  # it has gone
        file = _opened(heard.files.popleft()) if words.file and heard.files else None
        answering = asyncio.ensure_future(self._answer(speaker, words, self._asked, file))
        heard.asks.add(answering)
        answering.add_done_callback(heard.asks.discard)

    async def _answer(
        self, speaker: socket.socket, words: Words, asked: Asked, file: BinaryIO | None
    ) -> None:
        with file or nullcontext():
            answer = await asked(words, file)
        try:
            speaker.send(msgspec.json.encode({"answer": words.ask, **answer}) + b"\n")
        except OSError:
            self._drop(speaker)  # it has gone, or does not read what it asked for

    def _complain(self, why: str) -> None:
        if self._garbled:
            self._garbled(why)

    def _drop(self, speaker: socket.socket) -> None:
        heard = self._speakers.pop(speaker, None)
        if heard is None:
            return
        asyncio.get_running_loop().remove_reader(speaker)
        speaker.close()
        for file in heard.files:
            os.close(file)
        for ask in heard.asks:
            ask.cancel()

    def close(self) -> None:
        """Close all sockets and remove the path."""
        for speaker in list(self._speakers):
            self._drop(speaker)
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self.path.unlink(missing_ok=True)


def _opened(descriptor: int) -> BinaryIO | None:
    """The file of a descriptor; None if it is something else, on which one could wait for ever."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "r+b")
