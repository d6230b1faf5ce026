"""Runs the commands of one attempt by its supervisor, and reads what they write."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ...core.sdk.author import now
from ..reporting.output import Line, LineSplitter
from ..reporting.redactor import RedactedStream, Redactor
from ..reporting.telemetry import Recorder
from ..supervision.forkserver import Exit, Supervisor
from .command import Completed

READ_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
PARTIAL_SECONDS = 1.0
"""After this long a line without an end, such as a prompt, is shown as it is."""

DRAIN_SECONDS = 1.0
"""How long an output may stay open after the last process of the command is dead."""


class Pump:
    """Reads one output of a command, line by line, in the event loop."""

    def __init__(
        self,
        stream: Literal["out", "err", "setup"],
        sink: Callable[[list[Line]], None],
        redactor: Redactor,
    ) -> None:
        self._redacted = RedactedStream(redactor)
        self._splitter = LineSplitter(stream)
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.write_end, True)
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._read_end, self._readable)

    def started(self) -> None:
        """The command has its end of the pipe now."""
        os.close(self.write_end)
        self.write_end = -1

    def _readable(self) -> None:
        try:
            data = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        lines = self._splitter.feed(self._redacted.feed(data), now())
        if lines:
            self._sink(lines)
        if self._splitter.pending_since is not None and self._timer is None:
            self._timer = self._loop.call_later(PARTIAL_SECONDS, self._show_partial)

    def _show_partial(self) -> None:
        self._timer = None
        lines = self._splitter.flush_partial(now())
        if lines:
            self._sink(lines)
        elif self._splitter.pending_since is not None:
            self._timer = self._loop.call_later(PARTIAL_SECONDS, self._show_partial)

    def close(self) -> None:
        """Give out what is left of the last line, and close the pipe."""
        if self.over.done():
            return
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._read_end)
        os.close(self._read_end)
        if self.write_end >= 0:
            os.close(self.write_end)
        at = now()
        lines = self._splitter.feed(self._redacted.close(), at) + self._splitter.close(at)
        if lines:
            self._sink(lines)
        self.over.set_result(None)


class Execution:
    """The commands of an attempt, one after the other."""

    def __init__(self, supervisor: Supervisor, recorder: Recorder) -> None:
        self._supervisor = supervisor
        self._recorder = recorder
        self._pumps: tuple[Pump, ...] = ()

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> int:
        """Start the task's own command and return its pid. Raises `SpawnFailed`."""
        lines, redactor = self._recorder.lines, self._recorder.redactor
        out, err = Pump("out", lines, redactor), Pump("err", lines, redactor)
        return await self._start(argv, cwd, env, out, err)

    async def setup(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Completed:
        """Run a command of set-up to its end; see `command.Run`."""
        return await self._to_end(argv, cwd, env, self._recorder.lines)

    async def ask(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Completed:
        """The same for a question of the agent's own, whose answer is nothing for the log."""
        return await self._to_end(argv, cwd, env, lambda lines: None)

    async def _to_end(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        sink: Callable[[list[Line]], None],
    ) -> Completed:
        tail: deque[str] = deque()
        size = 0

        def keep(lines: list[Line]) -> None:
            nonlocal size
            sink(lines)
            for line in lines:
                tail.append(line.text)
                size += len(line.text) + 1
            while size > TAIL_BYTES:
                size -= len(tail.popleft()) + 1

        pump = Pump("setup", keep, self._recorder.redactor)
        await self._start(argv, cwd, env, pump, pump)
        exit = await self.wait()
        return Completed(exit.exit_code, "\n".join(tail))

    async def _start(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], out: Pump, err: Pump
    ) -> int:
        self._pumps = (out,) if out is err else (out, err)
        try:
            pid = await self._supervisor.spawn(
                argv, cwd=cwd, env=env, stdout=out.write_end, stderr=err.write_end
            )
        except BaseException:
            for pump in self._pumps:
                pump.close()
            raise
        for pump in self._pumps:
            pump.started()
        return pid

    async def wait(self) -> Exit:
        """Wait until every process of the command is dead and its output is read."""
        exit = await self._supervisor.wait()
        outputs = [pump.over for pump in self._pumps if not pump.over.done()]
        if outputs:
            await asyncio.wait(outputs, timeout=DRAIN_SECONDS)
        for pump in self._pumps:
            pump.close()
        return exit
