"""The page: schema, editor, named queries, and what came out."""

from __future__ import annotations

from nicegui import ui

from .....core.errors import EvqError
from .....core.queries import Query
from .....core.questions import Named, Sql
from .....core.sdk.saved import all_queries, save_query
from ...acting import actor_client, may
from ...address import Address
from ...opening import BROWSER_SECONDS
from ...source import Source
from .named import NamedQueries
from .result import Result
from .schema import show_schema

TIMEOUT = 30.0
ROWS = 10_000
_IS_DARK = "document.body.classList.contains('body--dark')"


class SqlPage:
    """An editor and its answer. What is asked stands in the address, so that it can be shared."""

    def __init__(self, source: Source, text: str) -> None:
        self._source = source
        self._running = False
        with ui.row().classes("w-full gap-3 no-wrap max-md:flex-wrap items-start"):
            with ui.column().classes("w-72 max-md:w-full gap-1 shrink-0"):
                self._named = NamedQueries(self._choose)
                self._schema = ui.column().classes("w-full gap-0")
            with ui.column().classes("grow min-w-0 gap-2"):
                self._about = ui.label().classes("text-sm opacity-70")
                self._editor = (
                    ui.codemirror(text, language="SQL", line_wrapping=True)
                    .classes("w-full border rounded")
                    .style("height: 220px")
                    .mark("editor")
                )
                self._editor.on("keydown.ctrl.enter", self.run)
                with ui.row().classes("items-center gap-2"):
                    self._go = ui.button("Run", icon="play_arrow", on_click=self.run)
                    self._go.props("dense").tooltip("Ctrl+Enter")
                    self._save = ui.button("Save", icon="bookmark_add", on_click=self._ask_name)
                    self._save.props("dense outline")
                    ui.label(f"reads only · {TIMEOUT:g} s · {ROWS:,} rows").classes(
                        "text-sm opacity-70"
                    )
                self._result = Result()

    async def open(self, name: str) -> None:
        """Ask for what stands beside the editor; begin with the named query, if one is named."""
        self._save.set_visibility(may(self._source))
        if await ui.run_javascript(_IS_DARK, timeout=BROWSER_SECONDS):
            self._editor.theme = "vscodeDark"
        try:
            self._named.show(await all_queries(self._source.client, fresh=bool(name)))
            with self._schema:
                await show_schema(self._source)
        except EvqError as error:
            self._result.refuse(error)
        if name:
            self._named.choose(name)

    def _choose(self, query: Query | None) -> None:
        """Let the editor have a named query; its text can be changed, and is the user's then."""
        self._about.text = query.meaning if query else ""
        if query:
            self._editor.value = query.text

    async def run(self) -> None:
        """Carry out what the editor has, and show it."""
        if self._running:
            return
        self._running = True
        self._go.props("loading")
        try:
            question = self._question()
            answer = await self._source.ask(question)
            self._result.show(answer, self._hint(), lambda: self._source.parquet(question))
        except EvqError as error:
            self._result.refuse(error)
        finally:
            self._running = False
            self._go.props(remove="loading")

    def _question(self) -> Named | Sql:
        """What the editor has, put into the address, too."""
        text = self._editor.value
        query = self._named.chosen
        if query and text == query.text:
            Address("/sql", name=query.name).write()
            return Named(query.name, self._named.given())
        Address("/sql", query=text).write()
        return Sql(text, TIMEOUT, ROWS)

    def _hint(self) -> str:
        query = self._named.chosen
        return query.chart if query and self._editor.value == query.text else ""

    # --- saving -------------------------------------------------------------------------------

    def _ask_name(self) -> None:
        with ui.dialog(value=True) as dialog, ui.card().classes("w-96 max-w-full"):
            ui.label("Save the query for everybody")
            name = ui.input("name").classes("w-full").props("autofocus")
            meaning = ui.input("what it answers").classes("w-full")

            async def save() -> None:
                dialog.close()
                await self._save_as(name.value, meaning.value)

            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=dialog.close).props("flat")
                ui.button("Save", on_click=save)
        dialog.on("hide", dialog.delete)

    async def _save_as(self, name: str, meaning: str) -> None:
        try:
            client = actor_client(self._source)
            await save_query(client, name, self._editor.value, meaning=meaning)
            self._named.show(await all_queries(self._source.client))
        except EvqError as error:
            self._result.refuse(error)
            return
        ui.notify(f"saved as @{name}", type="positive")
