"""The queries that have a name: evq's own and those that users saved, and what they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from .....core.queries import Parameter, Query


class NamedQueries:
    """A list to choose from, and a field for each parameter of the one that is chosen."""

    def __init__(self, on_choose: Callable[[Query | None], None]) -> None:
        self._queries: dict[str, Query] = {}
        self._fields: dict[str, Any] = {}
        self._on_choose = on_choose
        self.chosen: Query | None = None
        self._list = ui.select([], label="queries with a name", with_input=True, clearable=True)
        self._list.classes("w-full").props("dense outlined options-dense").mark("named")
        self._list.on_value_change(self._changed)
        self._parameters = ui.column().classes("w-full gap-1")

    def show(self, queries: Sequence[Query]) -> None:
        """Offer these."""
        self._queries = {query.name.replace("_", "-"): query for query in queries}
        self._list.set_options(list(self._queries))

    def choose(self, name: str) -> None:
        """Choose one by its name, if it is there."""
        wanted = name.removeprefix("@").replace("_", "-")
        if wanted in self._queries:
            self._list.value = wanted

    def given(self) -> dict[str, Any]:
        """The values of its parameters that somebody typed."""
        return {name: field.value for name, field in self._fields.items() if field.value}

    def _changed(self, event: ValueChangeEventArguments[Any]) -> None:
        self.chosen = self._queries.get(str(event.value)) if event.value else None
        self._fields = {}
        self._parameters.clear()
        with self._parameters:
            for one in self.chosen.parameters if self.chosen else ():
                self._fields[one.name] = _field(one)
        self._on_choose(self.chosen)


def _field(one: Parameter) -> Any:
    default = "" if one.default is None else str(one.default)
    if one.choices:
        field: Any = ui.select(list(one.choices), label=one.name, value=one.default)
    else:
        field = ui.input(one.name, placeholder=default)
    field.classes("w-full").props("dense outlined")
    if one.meaning:
        field.tooltip(one.meaning)
    return field
