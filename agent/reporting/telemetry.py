"""Gathers what one attempt says into records for the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.events import Log, Metric, Progress, Remarks
from ...core.sdk.author import now
from ...core.subjects import telemetry
from ...core.wire import encode_telemetry
from .channel import Value, Words
from .outbox import Outbox
from .output import Line, LogBudget
from .redactor import Redactor
from .spool import Record

FLUSH_SECONDS = 0.25
FLUSH_BYTES = 96 * 1024
FLUSH_POINTS = 1000
MOST_OUTPUTS = 64 * 1024
LETTERS = {"out": "o", "err": "e", "setup": "s", "agent": "a"}


class Recorder:
    """Lines, metrics and progress of one attempt, in batches."""

    def __init__(
        self,
        outbox: Outbox,
        queue: str,
        task: str,
        agent: str,
        attempt: int,
        claim: int,
        limit: int,
        redactor: Redactor,
    ) -> None:
        """`limit` is how many bytes of log the attempt may leave."""
        self.redactor = redactor
        """What all that the attempt says passes through; outputs do so before they are lines."""
        self.subject = telemetry(queue, task, agent)
        self._outbox = outbox
        self._attempt = attempt
        self._claim = claim
        self._budget = LogBudget(limit)
        self.last_error = ""
        """The last line on stderr that says something: of a failure, usually the reason."""
        self.said = now()
        """When it spoke last, in microseconds since 1970."""
        self._lines: list[Line] = []
        self._bytes = 0
        self._written = 0
        self._points: list[tuple[int, str, int | None, Value]] = []
        self._progress: Progress | None = None
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        """What the attempt gave out, for the event of its end."""
        self._count = 0
        self._lost_lines = 0
        self._lost_points = 0
        self._timer: asyncio.TimerHandle | None = None

    def lines(self, lines: Sequence[Line]) -> None:
        """Take lines of output, within the attempt's budget."""
        self.said = now()
        for line in reversed(lines):
            if line.stream == "err" and line.text.strip():
                self.last_error = line.text.strip()[:300]
                break
        self._keep(self._budget.admit(lines))

    def say(self, text: str) -> None:
        """A line of the agent's own."""
        self._keep([Line(now(), "agent", self.redactor.text(text))])

    def set_up(self, text: str) -> None:
        """A line of set-up that no command wrote."""
        self._keep([Line(now(), "setup", text)])

    def _keep(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        self._lines += lines
        self._bytes += sum(len(line.text) for line in lines)
        if self._bytes > FLUSH_BYTES:
            self.flush()
        else:
            self._arm()

    def heard(self, words: Words) -> None:
        """Take what the task said on its channel, or what a tracker of it was told."""
        if words.claim not in (None, self._claim):
            return
        self.said = now()
        at = words.at or self.said
        for name, value in (words.metrics or {}).items():
            self._points.append((at, self.redactor.text(name), words.step, value))
        if words.progress:
            told = words.progress
            self._progress = Progress(
                attempt=self._attempt,
                claim=self._claim,
                at=at,
                done=told.done,
                total=told.total,
                text=self.redactor.text(told.text)[:200],
            )
        for kept, said in ((self._params, words.params), (self._tags, words.tags)):
            text = self.redactor.text
            kept |= {text(name): text(value) for name, value in (said or {}).items()}
            self._bytes += sum(len(name) + len(value) for name, value in (said or {}).items())
        if words.outputs:
            self._give_out(words.outputs)
        if len(self._points) >= FLUSH_POINTS or self._bytes > FLUSH_BYTES:
            self.flush()
        else:
            self._arm()

    def _give_out(self, values: dict[str, Any]) -> None:
        """Keep what the task gave out, as far as the event of its end has room for it."""
        text = self.redactor.text(msgspec.json.encode(self.outputs | values).decode())
        if len(text) > MOST_OUTPUTS:
            self.say(f"outputs were left out: {MOST_OUTPUTS // 1024} KiB are the most for a task")
            return
        self.outputs = msgspec.json.decode(text)

    def garbled(self, why: str) -> None:
        """Tell the reader of the log that the task said something unreadable."""
        self.say(f"a message on EVQ_SOCKET was not understood: {why}")

    def _arm(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand over what was gathered."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._bytes = 0
        if self._lines:
            lines, self._lines = self._lines, []
            self._flush_lines(lines)
        if self._points:
            points, self._points = self._points, []
            self._flush_points(points)
        if self._progress:
            progress, self._progress = self._progress, None
            self._send(encode_telemetry(progress))
        if self._params or self._tags:
            self._flush_remarks()

    def _flush_lines(self, lines: list[Line]) -> None:
        record = Log(
            attempt=self._attempt,
            claim=self._claim,
            first=self._written,
            at=tuple(line.at_us for line in lines),
            stream="".join(LETTERS[line.stream] for line in lines),
            text=tuple(line.text for line in lines),
        )
        self._written += len(lines)
        if self._send(encode_telemetry(record)):
            self._tell_losses()
        else:
            self._lost_lines += len(lines)

    def _tell_losses(self) -> None:
        why = "were left out: there was no room while the server was away"
        lines, self._lost_lines = self._lost_lines, 0
        points, self._lost_points = self._lost_points, 0
        if lines:
            self.say(f"{lines} lines {why}")
        if points:
            self.say(f"{points} points of metrics {why}")

    def _flush_points(self, points: list[tuple[int, str, int | None, Value]]) -> None:
        at, name, step, value = zip(*points, strict=True)
        record = Metric(
            attempt=self._attempt, claim=self._claim, at=at, name=name, step=step, value=value
        )
        if not self._send(encode_telemetry(record)):
            self._lost_points += len(points)

    def _flush_remarks(self) -> None:
        params, self._params, tags, self._tags = self._params, {}, self._tags, {}
        record = Remarks(
            attempt=self._attempt, claim=self._claim, at=now(), params=params, tags=tags
        )
        self._send(encode_telemetry(record))

    def _send(self, data: bytes) -> bool:
        self._count += 1
        record = Record(self.subject, f"{self._claim}-{self._count}", data.decode())
        return self._outbox.put(record)

    def close(self) -> None:
        """Hand over everything, also what the budget held back for the end."""
        self._keep(self._budget.close(now()))
        self.flush()

    def account(self) -> None:
        """Tell what was thrown away and not told yet. To be called when all else has arrived."""
        self._tell_losses()
        self.flush()
