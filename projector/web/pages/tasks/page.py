"""The list of tasks: facets, a query box, a table that is paged by the projector, and what may be
done to those that are chosen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from msgspec.structs import replace
from nicegui import background_tasks, ui
from nicegui.events import ValueChangeEventArguments

from .....core.errors import EvqError
from .....core.fleet.quiet import quiet_words
from .....core.sdk.live import Changes
from ...address import Address
from ...curves import curves_of
from ...following import follow
from ...source import Source
from .bulk import Bulk
from .facets import Facets
from .rows import live, parts, row, spark, with_quiet
from .table import TaskTable
from .wanted import FACETS, PAGE, Wanted

ALL = 1000
"""How many tasks may be chosen at once."""

PIXELS = 96
"""Points of a small curve, of the longest one."""

HINT = "words, or a condition: state = 'failed' AND params.lr > 0.1 AND metrics.loss.min < 2"


class TasksPage:
    """Made when the page is opened; `open` fills it and keeps it up to date."""

    def __init__(self, source: Source, wanted: Wanted) -> None:
        self._source = source
        self._wanted = wanted
        self._address = Address("/tasks")
        self._client = ui.context.client
        self._all: list[str] = []
        self._turns = 0
        self._quiet: dict[str, str] = {}
        with ui.row().classes("w-full no-wrap max-sm:flex-wrap gap-3 items-start"):
            with ui.column().classes("w-44 max-sm:w-full shrink-0"):
                self._facets = Facets(source, self._choose)
            with ui.column().classes("grow min-w-0 gap-2"):
                self._box()
                self._error = ui.label().classes("text-sm text-red-500 evq-query-error")
                with ui.row().classes("w-full items-center gap-2"):
                    self._tools()
                self._holder = ui.column().classes("w-full gap-0")
                self._table = self._made()

    def _made(self) -> TaskTable:
        self._holder.clear()
        with self._holder:
            return TaskTable(self._wanted, self._turn)

    def _box(self) -> None:
        self._query = (
            ui.input(placeholder=HINT, value=self._wanted.query)
            .props("dense outlined clearable debounce=400")
            .classes("w-full font-mono")
            .classes("evq-query")
        )
        self._query.on_value_change(self._asked)

    def _tools(self) -> None:
        self._count = ui.label().classes("text-sm evq-count")
        self._bulk = Bulk(self._source, self._chosen, self._chosen_tags)
        self._bulk.show(self._wanted.archived)
        ui.button("all that match", on_click=self._choose_all).props(
            "flat dense no-caps size=sm"
        ).classes("evq-choose-all")
        ui.button("compare", on_click=self._compare).props("outline dense no-caps size=sm").classes(
            "evq-compare"
        )
        ui.space()
        ui.switch("archive", value=self._wanted.archived, on_change=self._archive).props(
            "dense size=sm"
        ).classes("text-sm evq-archive")
        self._columns = (
            ui.select([], multiple=True, label="columns", on_change=self._column)
            .props("dense outlined options-dense")
            .classes("w-48")
            .classes("evq-columns")
        )
        ui.button("as SQL", on_click=lambda: self._show(self._wanted.sql())).props(
            "flat dense no-caps size=sm"
        ).classes("evq-as-sql")
        ui.button("as CLI", on_click=lambda: self._show(self._wanted.command())).props(
            "flat dense no-caps size=sm"
        ).classes("evq-as-cli")

    async def open(self, version: int) -> None:
        """Fill it, and go on as the fleet changes."""
        follow(self._source.fleet, version, self._changed)
        await self._ask(fresh=False)
        try:
            known = await self._source.known("task_columns")
        except EvqError:
            return
        names = [f"{one['kind']}.{one['name']}" for one in known.rows]
        found = [
            column
            for name in names
            for column in ((name, f"{name}.min", f"{name}.max") if name[0] == "m" else (name,))
        ]
        self._columns.set_options(
            list(dict.fromkeys((*self._wanted.columns, *found))), value=list(self._wanted.columns)
        )

    # --- what is wanted -------------------------------------------------------------------------

    async def _asked(self) -> None:
        await self._want(replace(self._wanted, query=self._query.value or "", page=1))

    def _choose(self, name: str, values: tuple[str, ...]) -> None:
        facets = dict(self._wanted.facets) | {name: values}
        self._later(replace(self._wanted, facets=facets, page=1))

    def _turn(self, sort: str, page: int) -> None:
        sort = sort or self._wanted.sort
        page = page if sort == self._wanted.sort else 1
        self._later(replace(self._wanted, sort=sort, page=page))

    async def _column(self, event: ValueChangeEventArguments[list[str]]) -> None:
        chosen = tuple(event.value or ())
        if chosen != self._wanted.columns:
            self._wanted = replace(self._wanted, columns=chosen)
            self._table = self._made()
            await self._want(self._wanted)

    async def _archive(self, event: ValueChangeEventArguments[bool | None]) -> None:
        self._bulk.show(bool(event.value))
        await self._want(replace(self._wanted, archived=bool(event.value), page=1))

    def _later(self, wanted: Wanted) -> None:
        background_tasks.create(self._there(wanted))

    async def _there(self, wanted: Wanted) -> None:
        with self._client:
            await self._want(wanted)

    async def _want(self, wanted: Wanted) -> None:
        self._wanted, self._all = wanted, []
        self._address.set(
            q=wanted.query,
            sort="" if wanted.sort == "-enqueued" else wanted.sort,
            page="" if wanted.page == 1 else str(wanted.page),
            cols=",".join(wanted.columns),
            archived="1" if wanted.archived else "",
            **{name: ",".join(wanted.facets.get(name, ())) for name in FACETS},
        )
        await self._ask()

    # --- what there is --------------------------------------------------------------------------

    async def _ask(self, *, fresh: bool = True) -> None:
        """The page, the count and the facets; of several that overlap the last one counts."""
        self._turns += 1
        ask = self._source.named if fresh else self._source.known
        turn, wanted = self._turns, self._wanted
        where, words = wanted.where(), wanted.words
        try:
            page, count = await asyncio.gather(
                ask(
                    "task_page",
                    where=where,
                    words=words,
                    sort=wanted.sort,
                    limit=PAGE,
                    offset=(wanted.page - 1) * PAGE,
                ),
                ask("task_count", where=where, words=words),
            )
        except EvqError as error:
            self._error.text = ". ".join(filter(None, (error.what, error.why, error.fix)))
            return
        if turn != self._turns:
            return
        self._error.text = ""
        total = int(count.rows[0]["n"])
        self._count.text = "1 task" if total == 1 else f"{total:,} tasks"
        metrics = await self._metrics([one["task"] for one in page.rows])
        now = time.time_ns() // 1000
        rows = [row(one, wanted.columns, metrics.get(one["task"], {}), now) for one in page.rows]
        self._quiet = self._quiet_of(one["task"] for one in rows)
        rows = [with_quiet(one, self._quiet.get(one["task"], "")) for one in rows]
        self._table.show(rows, total, wanted)
        await self._facets.show(wanted)
        await self._sparks(turn, rows)
        if page.behind:
            self._later_again()  # of these events the fleet may have told before it was followed

    async def _metrics(self, tasks: list[str]) -> dict[str, dict[str, Any]]:
        if not any(parts(column)[0] == "metrics" for column in self._wanted.columns):
            return {}
        try:
            answer = await self._source.known("task_metrics", tasks=tasks)
        except EvqError:
            return {}
        found: dict[str, dict[str, Any]] = {}
        for one in answer.rows:
            figures = {"last": one["value"], "min": one["min"], "max": one["max"]}
            found.setdefault(one["task"], {})[one["name"]] = figures
        return found

    async def _sparks(self, turn: int, rows: list[dict[str, Any]]) -> None:
        """Small curves beside metrics, when the figures are there."""
        wanted = [
            (number, parts(column)[1])
            for number, column in enumerate(self._wanted.columns)
            if parts(column)[0] == "metrics"
        ]
        if not wanted or not rows:
            return
        tasks, names = [one["task"] for one in rows], [name for _, name in wanted]
        try:
            curves = await curves_of(
                self._source.known, tasks, names, axis="step", pixels=PIXELS, last_only=True
            )
        except EvqError:
            return
        found: dict[str, dict[str, str]] = {}
        for number, name in wanted:
            for task in tasks:
                points = curves.get((task, name), ())
                line = spark([point.value for point in points])
                found.setdefault(task, {})[f"s{number}"] = line
        if found and turn == self._turns:
            self._table.change(lambda shown: shown | found.get(shown["task"], {}))

    def _changed(self, changes: Changes) -> None:
        tasks = self._source.fleet.tasks
        shown = set(self._table.tasks)
        if touched := shown & changes.tasks:
            self._table.change(
                lambda one: (
                    live(one, tasks[one["task"]])
                    if one["task"] in touched and one["task"] in tasks
                    else one
                )
            )
        if (quiet := self._quiet_of(shown)) != self._quiet:
            self._quiet = quiet
            self._table.change(lambda one: with_quiet(one, quiet.get(one["task"], "")))
        if changes.everything or changes.tasks:
            self._later_again()

    def _quiet_of(self, tasks: Iterable[str]) -> dict[str, str]:
        """Which of these tasks are quiet, in words."""
        quiet, now = self._source.fleet.quiet, time.time_ns() // 1000
        return {name: quiet_words(quiet[name], now) for name in tasks if name in quiet}

    def _later_again(self) -> None:
        background_tasks.create_lazy(self._again(), name=f"tasks of {self._client.id}")

    async def _again(self) -> None:
        with self._client:
            await self._ask()
        await asyncio.sleep(2.0)

    # --- what is chosen -------------------------------------------------------------------------

    def _chosen(self) -> list[str]:
        return self._all or self._table.chosen

    def _chosen_tags(self) -> list[str]:
        return self._table.chosen_tags

    async def _choose_all(self) -> None:
        wanted = self._wanted
        try:
            answer = await self._source.named(
                "task_ids", where=wanted.where(), words=wanted.words, sort=wanted.sort, limit=ALL
            )
        except EvqError as error:
            ui.notify(str(error), type="negative")
            return
        self._all = [one["task"] for one in answer.rows]
        ui.notify(f"{len(self._all)} tasks are chosen; what you do now is done to all of them.")

    def _compare(self) -> None:
        tasks = self._chosen()
        if not 2 <= len(tasks) <= 100:
            ui.notify("Choose 2 to 100 tasks to compare.")
            return
        ui.navigate.to(f"/compare?{urlencode({'tasks': ','.join(tasks)})}")

    def _show(self, text: str) -> None:
        with ui.dialog(value=True) as dialog, ui.card().classes("max-w-3xl"):
            ui.label(text).classes("font-mono text-xs whitespace-pre-wrap break-all evq-as-text")
            ui.button("copy", on_click=lambda: ui.clipboard.write(text)).props("dense no-caps")
        dialog.on("hide", dialog.delete)
