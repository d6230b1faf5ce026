"""What `evq demo` shows while its tasks run: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...core.events import Enqueued, Envelope, Metric, Progress
from ...core.evolve import create
from ...core.handle import absorb
from ...core.ports import Stored
from ...core.state import Ended, Task
from ...core.wire import decode, decode_telemetry

BAR = 16
STYLES = {"queued": "dim", "claimed": "cyan", "running": "bold", "completed": "green"}


class Row(msgspec.Struct):
    """What is shown of one task."""

    task: Task
    order: int = 0
    loss: float | None = None
    share: float = 0.0


class View:
    """The demo's tasks, folded from the log by the one fold."""

    def __init__(self, names: dict[str, str], live: bool) -> None:
        self._names = names
        self._rows: dict[str, Row] = {}
        self._taken = 0
        self._began = time.monotonic()
        self._console = Console(stderr=True)
        self._live = Live(self, console=self._console, refresh_per_second=8) if live else None

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    @property
    def over(self) -> bool:
        """Whether every task has ended."""
        return len(self._rows) == len(self._names) and all(
            isinstance(row.task.state, Ended) for row in self._rows.values()
        )

    def happened(self, batch: Sequence[Stored]) -> None:
        """Fold lifecycle events."""
        for stored in batch:
            message = decode(stored.data)
            if isinstance(message, Envelope) and isinstance(message.event, Enqueued):
                task = create(stored.seq, message.at, message.by, message.event)
                if task.id in self._names:
                    self._rows[task.id] = Row(task)
                continue
            row = self._rows.get(stored.subject.rpartition(".")[2])
            if row:
                self._fold(row, stored)

    def _fold(self, row: Row, stored: Stored) -> None:
        before = row.task.name_of_state
        row.task = absorb(row.task, stored)
        after = row.task.name_of_state
        if before == "queued" and after == "claimed" and not row.order:
            self._taken += 1
            row.order = self._taken
        if self._live is None and isinstance(row.task.state, Ended):
            click.echo(f"  {row.task.spec.name}  {row.task.spec.queue}  {after}", err=True)

    def heard(self, batch: Sequence[Stored]) -> None:
        """Take in what tasks say."""
        for stored in batch:
            row = self._rows.get(stored.subject.split(".")[2])
            record = decode_telemetry(stored.data)
            if row is None:
                continue
            if isinstance(record, Metric):
                losses = [
                    float(value)
                    for name, value in zip(record.name, record.value, strict=True)
                    if name == "loss"
                ]
                row.loss = losses[-1] if losses else row.loss
            elif isinstance(record, Progress) and record.total:
                row.share = record.done / record.total

    def summary(self) -> str:
        """All of it in one line."""
        done = sum(row.task.name_of_state == "completed" for row in self._rows.values())
        seconds = time.monotonic() - self._began
        queues = " ".join(
            row.task.spec.queue
            for row in sorted(self._rows.values(), key=lambda row: row.order)
            if row.order
        )
        return f"{done} of {len(self._names)} completed in {seconds:.1f} s; taken: {queues}\n"

    def __rich__(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("TASK", "NAME", "QUEUE", "STATE", "TIME", "PROGRESS", "LOSS"):
            table.add_column(title, justify="right" if title in ("TIME", "LOSS") else "left")
        for row in self._rows.values():
            table.add_row(*_cells(row))
        return table


def _cells(row: Row) -> list[Text | str]:
    task, state = row.task, row.task.name_of_state
    filled = round(row.share * BAR)
    shown = state
    live = task.live
    if state == "claimed" and live and live.phases:
        shown = live.phases[-1].name
    return [
        task.id[:6],
        task.spec.name,
        task.spec.queue,
        Text(shown, style=STYLES.get(state, "red")),
        _seconds(task),
        Text("━" * filled, style="green") + Text("━" * (BAR - filled), style="dim"),
        "" if row.loss is None else f"{row.loss:.4f}",
    ]


def _seconds(task: Task) -> str:
    attempt = task.live or (task.past[-1] if task.past else None)
    if attempt is None or attempt.launch is None:
        return ""
    end = attempt.end.at if attempt.end else time.time_ns() // 1000
    return f"{(end - attempt.launch.at) / 1e6:.1f} s"
