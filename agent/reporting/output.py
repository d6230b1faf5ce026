"""Output of a command, from bytes to lines, within limits. Pure: time comes in as an argument.

All times are microseconds since 1970.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal

import msgspec

Stream = Literal["out", "err", "setup", "agent"]

MAX_LINE_BYTES = 8 * 1024
KEEP_LINE_BYTES = 1024 * 1024
PROGRESS_SECONDS = 2.0
PARTIAL_SECONDS = 1.0
LOG_BYTES = 64 * 1024 * 1024
TAIL_BYTES = 64 * 1024


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of a log, without its end. `stream` says who wrote it."""

    at_us: int
    stream: Stream
    text: str


class LineSplitter:
    """Makes lines of one stream of bytes, in bounded memory whatever comes.

    - UTF-8; bytes that are not become U+FFFD, and so does NUL.
    - A carriage return overwrites the line, as on a terminal. Of the states of a progress bar,
      one in `progress_every` seconds comes out, and the last one. `\\r\\n` ends a line.
    - A line longer than `max_line` bytes comes out in pieces, and what exceeds `keep_line`
      bytes is left out, with a note.
    - A line that does not end, such as a prompt, is given out by `flush_partial`.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        max_line: int = MAX_LINE_BYTES,
        keep_line: int = KEEP_LINE_BYTES,
        progress_every: float = PROGRESS_SECONDS,
        partial_after: float = PARTIAL_SECONDS,
    ) -> None:
        self._stream: Stream = stream
        self._max_line = max_line
        self._keep_line = keep_line
        self._progress_every = progress_every * 1e6
        self._partial_after = partial_after * 1e6
        self._pending = b""
        self._progress_at: float = float("-inf")
        self._begin_line()
        self.pending_since: int | None = None
        """When the first byte of the unfinished line came, if there is one to be shown."""

    def _begin_line(self) -> None:
        self._given_out = 0
        self._left_out = 0
        self._overwritten = False

    def feed(self, data: bytes, at: int) -> list[Line]:
        """The lines that `data`, read at `at`, brought to an end."""
        lines: list[Line] = []
        end = data.rfind(b"\n")
        if end >= 0:
            block = self._pending + data[:end] if self._pending else data[:end]
            self._pending = b""
            self.pending_since = None
            data = data[end + 1 :]
            self._split(block, at, lines)
        if data:
            self._grow(data, at, lines)
        return lines

    def _split(self, block: bytes, at: int, lines: list[Line]) -> None:
        """Lines that have their ends, without the last `\\n`."""
        if self._given_out or self._overwritten or b"\r" in block:
            for line in block.split(b"\n"):
                self._end_line(line, at, lines)
            return
        # The common case is quick: nothing is looked at line by line.
        texts = block.decode("utf-8", "replace").replace("\0", "\ufffd").split("\n")
        if len(block) > self._max_line and len(max(texts, key=len)) > self._max_line // 4:
            for line in block.split(b"\n"):
                self._end_line(line, at, lines)
            return
        stream = self._stream
        lines += [Line(at, stream, text) for text in texts]

    def _end_line(self, line: bytes, at: int, lines: list[Line]) -> None:
        rest = self._shorten(self._overwrite(line, at, lines), at, lines).rstrip(b"\r")
        wiped = self._overwritten and not rest.strip()
        if self._left_out:
            self._left_out += len(rest)
            note = f"… {self._left_out} bytes of this line left out"
            lines.append(Line(at, self._stream, note))
        elif not wiped and (rest or not self._given_out):
            self._give(rest, at, lines)
        self._begin_line()

    def _grow(self, data: bytes, at: int, lines: list[Line]) -> None:
        """The unfinished line goes on."""
        rest = self._overwrite(self._pending + data, at, lines)
        self._pending = self._shorten(rest, at, lines)
        if not self._pending.strip(b"\r"):
            self.pending_since = None
        elif self.pending_since is None:
            self.pending_since = at

    def _overwrite(self, line: bytes, at: int, lines: list[Line]) -> bytes:
        """The last state of a line; now and then, the one before comes out.

        A return at the very end overwrites nothing yet: `\\n` may follow.
        """
        body = line.rstrip(b"\r")
        end = b"\r" if len(body) < len(line) else b""
        past, found, last = body.rpartition(b"\r")
        if not found:
            return body + end
        self._overwritten = True
        self._given_out = self._left_out = 0
        self.pending_since = None
        state = past.rstrip(b"\r").rpartition(b"\r")[2]
        if state.strip() and at - self._progress_at >= self._progress_every:
            self._progress_at = at
            self._give(state[: self._max_line], at, lines)
        return last + end

    def _shorten(self, line: bytes, at: int, lines: list[Line]) -> bytes:
        """Give out the pieces of a line that is too long; returns the rest."""
        begin = 0
        while len(line) - begin > self._max_line:
            end = _before_character(line, begin + self._max_line)
            if self._given_out < self._keep_line:
                self._give(line[begin:end], at, lines)
                self._given_out += end - begin
            else:
                self._left_out += end - begin
            begin = end
        return line[begin:]

    def _give(self, line: bytes, at: int, lines: list[Line]) -> None:
        text = line.decode("utf-8", "replace").replace("\0", "\ufffd")
        lines.append(Line(at, self._stream, text))

    def flush_partial(self, at: int) -> list[Line]:
        """The unfinished line, if it has waited for long enough."""
        since = self.pending_since
        if since is None or at - since < self._partial_after or self._left_out:
            return []
        if self._overwritten:
            if at - self._progress_at < self._progress_every:
                return []
            self._progress_at = at
        return self._flush(at)

    def _flush(self, at: int) -> list[Line]:
        lines: list[Line] = []
        shown = self._pending.rstrip(b"\r")
        self._give(shown, at, lines)
        self._given_out += len(shown)
        # The return still waits for what follows it.
        self._pending = self._pending[len(shown) :]
        self.pending_since = None
        return lines

    def close(self, at: int) -> list[Line]:
        """What is left when the stream has ended."""
        lines: list[Line] = []
        line, self._pending, self.pending_since = self._pending, b"", None
        if line.strip(b"\r") or self._left_out:
            self._end_line(line, at, lines)
        return lines


def _before_character(data: bytes, position: int) -> int:
    """The last position up to this one that is not inside of a UTF-8 character."""
    for back in range(4):
        if data[position - back] & 0xC0 != 0x80:
            return position - back
    return position


class LogBudget:
    """How much one attempt may log: `limit` bytes, and whatever comes, the last `tail` bytes.

    A log that is too long says most at its begin and at its end.
    """

    def __init__(self, limit: int = LOG_BYTES, tail: int = TAIL_BYTES) -> None:
        self._limit = limit
        self._left = limit
        self._tail_bytes = tail
        self._tail: deque[Line] = deque()
        self._tail_size = 0
        self.left_out_lines = 0
        self.left_out_bytes = 0

    def admit(self, lines: Sequence[Line]) -> list[Line]:
        """Those of the lines that fit in; the others are kept for the end, or counted."""
        if self._left > 0:
            size = sum(map(_size, lines))
            if size <= self._left:
                self._left -= size
                return list(lines)
        admitted: list[Line] = []
        for line in lines:
            size = _size(line)
            if size <= self._left:
                self._left -= size
                admitted.append(line)
            else:
                self._left = 0
                self._keep(line, size)
        return admitted

    def _keep(self, line: Line, size: int) -> None:
        self._tail.append(line)
        self._tail_size += size
        while self._tail_size > self._tail_bytes:
            size = _size(self._tail.popleft())
            self._tail_size -= size
            self.left_out_lines += 1
            self.left_out_bytes += size

    def close(self, at: int) -> list[Line]:
        """The end of the log, after a note on what is missing before it."""
        tail = list(self._tail)
        self._tail.clear()
        self._tail_size = 0
        if not self.left_out_lines:
            return tail
        note = (
            f"… {self.left_out_lines} lines ({self.left_out_bytes} bytes) left out: "
            f"the log's limit is {self._limit} bytes"
        )
        return [Line(tail[0].at_us if tail else at, "agent", note), *tail]


def _size(line: Line) -> int:
    """Bytes with the line's end."""
    text = line.text
    return 1 + (len(text) if text.isascii() else len(text.encode()))
