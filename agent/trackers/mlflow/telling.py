"""Tells the agent what a client logged: lines of JSON on the socket of the attempt's slot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import msgspec

from ...reporting.channel import Words
from .bodies import Batch
from .refusal import Refusal
from .runs import NAME, Run

T = TypeVar("T")

LINE_BYTES = 32 * 1024
"""Of words in one line. One more, of 8000 characters at worst escaped, still fits the line of
64 KiB that the agent reads."""

LATEST = 2**50
"""Milliseconds; no clock shows more."""

PATIENCE = 5.0
"""Seconds in which the agent should have read."""

QUIET = "mlflow."
"""Tags that MLflow makes for itself begin so: evq knows most of it, and better."""

NOTE = "mlflow.note.content"
"""But this one a person has written."""


class Voice:
    """One attempt's connection to its agent."""

    def __init__(self, socket: Path, claim: int) -> None:
        self._socket = socket
        self._claim = claim
        self._turn = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None

    async def tell(self, words: Iterable[Words]) -> None:
        """Return when the kernel has it all for the agent. Raises `Refusal` if that is away."""
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in words)
        if not lines:
            return
        async with self._turn:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._send(lines)
            except (OSError, TimeoutError) as error:
                self.close()
                # This one the client may well try again.
                raise Refusal(
                    f"the agent does not listen: {error}", "TEMPORARILY_UNAVAILABLE", status=503
                ) from None

    async def _send(self, lines: bytes) -> None:
        if self._writer is None or self._writer.is_closing():
            _, self._writer = await asyncio.open_unix_connection(self._socket)
            # So that `drain` waits until the kernel has it, not only our own buffer.
            self._writer.transport.set_write_buffer_limits(0)
        self._writer.write(lines)
        await self._writer.drain()

    def close(self) -> None:
        """Hang up."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def words(self, run: Run, batch: Batch) -> Iterator[Words]:
        """A batch of one run as what evq understands."""
        for (stamp, step), points in groupby(batch.metrics, lambda one: (one.timestamp, one.step)):
            at = stamp * 1000 if 0 < stamp < LATEST else None
            named = ((run.prefix + point.key, point.plain) for point in points)
            for metrics in _in_lines(named):
                yield Words(claim=self._claim, at=at, step=step, metrics=metrics)
        told = [tag for tag in batch.tags if _is_told(run, tag.key)]
        for params in _in_lines((run.prefix + pair.key, pair.value) for pair in batch.params):
            yield Words(claim=self._claim, params=params)
        for tags in _in_lines((run.prefix + pair.key, pair.value) for pair in told):
            yield Words(claim=self._claim, tags=tags)


def _is_told(run: Run, tag: str) -> bool:
    return not tag.startswith(QUIET) or tag == NOTE or (tag == NAME and not run.prefix)


def _in_lines(named: Iterable[tuple[str, T]]) -> Iterator[dict[str, T]]:
    """What has names, in parts that fit a line and in which each name stands once."""
    part: dict[str, T] = {}
    size = 0
    for name, value in named:
        more = len(msgspec.json.encode((name, value)))
        if part and (name in part or size + more > LINE_BYTES):
            yield part
            part, size = {}, 0
        part[name] = value
        size += more
    if part:
        yield part
