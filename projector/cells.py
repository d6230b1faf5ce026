"""Sandboxed queries from the outside: a process for each, made before it is needed.

Starting Python and DuckDB costs more than most queries, so one process always waits for its
order. No process carries out two: what a query did to its process ends with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from ..core.errors import QueryFailed
from ..core.questions import Column, Sql
from .sandbox import END, ERROR, HEAD, HEADER, Order, Refusal, timed_out

AT_ONCE = 4
"""How many queries may run at the same time."""

LONGEST_SECONDS = 600.0
_GRACE_SECONDS = 1.0
_MEMORY = 2**30
_THREADS = 2

_columns = msgspec.json.Decoder(tuple[Column, ...])
_refusal = msgspec.json.Decoder(Refusal)


class Cells:
    """The processes in which users' queries run."""

    def __init__(self) -> None:
        self._busy = 0
        self._spare: asyncio.Task[Process] | None = None

    def warm(self) -> None:
        """Start the process for the next query, if there is none."""
        if self._spare is None:
            self._spare = asyncio.create_task(_start())

    async def close(self) -> None:
        """End the process that waits."""
        spare, self._spare = self._spare, None
        if spare:
            with suppress(OSError):
                await _end(await spare)

    @asynccontextmanager
    async def cell(self) -> AsyncIterator[Process]:
        """A process that waits for its order; it is gone after the block.

        Raises `QueryFailed` if too many are at work.
        """
        if self._busy >= AT_ONCE:
            raise QueryFailed(
                "too many queries run at once",
                why=f"this projector carries out {AT_ONCE} at the same time",
                fix="ask again in a moment",
            )
        self._busy += 1
        try:
            self.warm()
            spare, self._spare = self._spare, None
            assert spare is not None
            process = await spare
            try:
                self.warm()
                yield process
            finally:
                await _end(process)
        finally:
            self._busy -= 1


async def ask(
    process: Process, snapshot: Path, question: Sql
) -> AsyncGenerator[tuple[Column, ...] | bytes]:
    """The query's columns, then its rows, or their Parquet file, in parts. When time is over, the
    process is killed.

    Raises `QueryFailed`.
    """
    timeout = min(max(question.timeout, 0.001), LONGEST_SECONDS)
    order = Order(
        str(snapshot),
        question.text,
        timeout,
        question.rows,
        _MEMORY,
        _THREADS,
        question.params,
        question.only_names,
        question.moment,
        question.parquet,
    )
    loop = asyncio.get_running_loop()
    executioner = loop.call_later(timeout + _GRACE_SECONDS, _kill, process)
    end = loop.time() + timeout
    assert process.stdin is not None
    try:
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.close()
        while True:
            frame = await _read(process)
            if frame is None:
                code = await process.wait()
                raise timed_out(timeout) if loop.time() > end else _died(code)
            kind, data = frame
            if kind == END:
                return
            if kind == ERROR:
                refusal = _refusal.decode(data)
                raise QueryFailed(refusal.what, why=refusal.why, fix=refusal.fix)
            yield _columns.decode(data) if kind == HEAD else data
    finally:
        executioner.cancel()


async def _start() -> Process:
    # -I: nothing in the environment or in the current folder has a say in what is imported.
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "evq.projector.sandbox",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        # Each of malloc's arenas maps 64 MiB, and there may be eight for each core.
        env={"LANG": "C.UTF-8", "TZ": "UTC", "MALLOC_ARENA_MAX": "2"},
        cwd="/",
        start_new_session=True,
    )


async def _read(process: Process) -> tuple[bytes, bytes] | None:
    """The next frame, or null if the process ended without one."""
    assert process.stdout is not None
    try:
        kind, length = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
        return kind, await process.stdout.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _kill(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _end(process: Process) -> None:
    _kill(process)
    await process.wait()
    # The pipes' transports live until they are closed, and would warn at the loop's end.
    process._transport.close()  # type: ignore[attr-defined]


def _died(code: int) -> QueryFailed:
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
    return QueryFailed(
        "the query ended its process",
        why=f"it ended {how}: the limits of memory or of CPU time were reached",
        fix="ask for less: fewer rows, shorter texts",
    )
