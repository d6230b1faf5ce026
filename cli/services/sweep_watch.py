"""`evq sweep watch`: a live table on a terminal, and the decisions in words elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...core.sdk.watch import watch_metrics
from ...services.sweep.state import SweepState, Trial, task_of
from .. import output
from .sweep_view import BEST, headline, trial_table

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...services.sweep.sweep import Sweep

LINES = 3
"""The newest decisions that are shown beneath the table."""

STYLES = {"complete": "green", "pruned": "yellow", "failed": "red", "hopeless": "yellow"}


async def watch(client: Client, name: str) -> SweepState:
    """Show a sweep until it has finished, and return it then. Raises `NotFound`."""
    from ...services.sweep.sweep import Sweep

    sweep = await Sweep.open(client, name)
    if not output.on_terminal():
        async with aclosing(sweep.follow()) as facts:
            async for noted in facts:
                output.say(noted.words)
        return sweep.state
    picture = Picture(sweep)
    async with _hearing(client, picture):
        with Live(picture, console=Console(), refresh_per_second=8):
            async with aclosing(sweep.follow()) as facts:
                async for noted in facts:
                    picture.words.append(noted.words)
    return sweep.state


@asynccontextmanager
async def _hearing(client: Client, picture: Picture) -> AsyncIterator[None]:
    """Meanwhile, bring the newest points of running trials into the picture."""
    hearing = asyncio.create_task(_hear(client, picture))
    try:
        yield
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


async def _hear(client: Client, picture: Picture) -> None:
    base = picture.sweep.state.base
    assert base is not None
    subject = f"evqtel.{base.queue}.>"
    last = await client.bus.telemetry.last(subject)
    async with aclosing(watch_metrics(client.bus, last.seq if last else 0, (subject,))) as measured:
        async for one in measured:
            picture.measured(one.task, one.record.name, one.record.step, one.record.value)


class Picture:
    """The sweep as a table that rich draws again and again."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.words: list[str] = []
        self._seen: dict[int, tuple[int | None, float]] = {}
        self._numbers: dict[str, int] = {}

    def measured(
        self,
        task: str,
        names: tuple[str, ...],
        steps: tuple[int | None, ...],
        values: tuple[float | str, ...],
    ) -> None:
        """A task told points of metrics."""
        state = self.sweep.state
        for trial in state.trials[len(self._numbers) :]:
            self._numbers[task_of(state.name, trial.number)] = trial.number
        number = self._numbers.get(task)
        if number is None:
            return
        metric = state.plan.objective[0].metric
        for name, step, value in zip(names, steps, values, strict=True):
            if name == metric:
                self._seen[number] = (step, float(value))

    def __rich__(self) -> Group:
        state = self.sweep.state
        best = state.best[:BEST]
        parts: list[Text | Table] = [
            Text.assemble(("sweep ", "dim"), (state.name, "bold"), "  ", headline(state)),
            self._table(state, [*best, *state.open]),
            *(Text(line, style="dim", no_wrap=True) for line in self.words[-LINES:]),
        ]
        return Group(*parts)

    def _table(self, state: SweepState, trials: list[Trial]) -> Table:
        columns, rows = trial_table(state, trials, self._seen)
        table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
        for column in columns:
            table.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=True
            )
        for row in rows:
            table.add_row(*map(str, row), style=STYLES.get(str(row[1]), ""))
        return table
