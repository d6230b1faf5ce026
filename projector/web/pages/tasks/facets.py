"""Values that tasks have, each with how many there are; a click chooses one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import ui

from .....core.errors import EvqError
from ...source import Source
from .wanted import FACETS, Wanted

SHOWN = 8


class Facets:
    """One list for each facet; `choose` is called with a facet's name and its chosen values."""

    def __init__(self, source: Source, choose: Callable[[str, tuple[str, ...]], None]) -> None:
        self._source = source
        self._choose = choose
        self._open: set[str] = set()
        ui.button("filters", icon="filter_list", on_click=self._turn).props(
            "dense outline no-caps size=sm"
        ).classes("sm:hidden")
        self._place = ui.column().classes("w-full gap-2 max-sm:hidden evq-facets")

    def _turn(self) -> None:
        """On a narrow screen they are there when they are asked for."""
        self._place.classes(toggle="max-sm:hidden")

    async def show(self, wanted: Wanted) -> None:
        """Count anew: each facet under all that is wanted but its own values."""
        try:
            counts = await asyncio.gather(
                *(
                    self._source.known(
                        "task_facet",
                        facet=facet,
                        where=wanted.where(without=name),
                        words=wanted.words,
                    )
                    for name, facet in FACETS.items()
                )
            )
        except EvqError:
            return  # the list says why
        self._place.clear()
        with self._place:
            for name, answer in zip(FACETS, counts, strict=True):
                known = {str(row["value"]): int(row["n"]) for row in answer.rows}
                self._list(name, known, wanted)

    def _list(self, name: str, known: dict[str, int], wanted: Wanted) -> None:
        chosen = wanted.facets.get(name, ())
        if not known and not chosen:
            return
        with ui.column().classes("w-full gap-0"):
            ui.label(name).classes("text-xs font-bold opacity-70")
            values = list(dict.fromkeys((*chosen, *known)))
            shown = values if name in self._open else values[:SHOWN]
            for value in shown:
                self._value(name, value, known.get(value, 0), chosen)
            if len(values) > len(shown):
                ui.label(f"{len(values) - len(shown)} more").classes(
                    "text-xs opacity-60 cursor-pointer"
                ).on("click", lambda: self._unfold(name, known, wanted))

    async def _unfold(self, name: str, known: dict[str, int], wanted: Wanted) -> None:
        self._open.add(name)
        await self.show(wanted)

    def _value(self, name: str, value: str, count: int, chosen: tuple[str, ...]) -> None:
        on = value in chosen

        def turn() -> None:
            left = tuple(one for one in chosen if one != value)
            self._choose(name, left if on else (*chosen, value))

        line = ui.row().classes(
            "w-full items-center justify-between no-wrap gap-1 px-1 rounded cursor-pointer text-sm"
        )
        line.props(f"role=checkbox tabindex=0 aria-checked={'true' if on else 'false'}")
        if on:
            line.style("background: rgb(66 165 245 / .25)")
        line.on("click", turn).on("keydown.enter", turn).classes(f"evq-facet-{name}")
        with line:
            ui.label(value.replace("_", " ")).classes("truncate min-w-0")
            ui.label(f"{count:,}").classes("text-xs opacity-60")
