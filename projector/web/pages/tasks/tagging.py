"""Tags that somebody gives tasks on a page, or takes away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from .....core.filing.filed import difference
from .....core.sdk.client import Client
from .....core.state import Task

Tags = tuple[str, ...]


Act = Callable[[Tags, Tags], Awaitable[None]]
"""Adds tags and takes others away."""


def ask_tags(title: str, known: Sequence[str], act: Act) -> None:
    """Ask which tags to add and to take away, and then act; `known` are those that are there."""
    with ui.dialog(value=True) as dialog, ui.card().classes("w-96 max-w-full gap-2"):
        ui.label(title).classes("evq-head")
        add = ui.input("Add, with commas between").classes("w-full evq-tags-add")
        add.props("autofocus")
        remove = (
            ui.select(list(known), multiple=True, label="Take away", new_value_mode="add-unique")
            .props("use-chips use-input")
            .classes("w-full evq-tags-remove")
        )

        async def done() -> None:
            dialog.close()
            words = (word.strip() for word in (add.value or "").split(","))
            await act(tuple(word for word in words if word), tuple(remove.value or ()))

        add.on("keydown.enter", done)
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat")
            ui.button("Tag", on_click=done)
    dialog.on("hide", dialog.delete)


class Tagger:
    """Tags tasks, and knows the way back."""

    def __init__(self, add: Tags, remove: Tags) -> None:
        self._add = add
        self._remove = remove
        self._done: dict[str, tuple[Tags, Tags]] = {}
        """By task, the tags that it did not have before, and those that it had."""

    async def tag(self, client: Client, task: str, reason: str) -> Task:
        """Tag one task."""
        before = (await client.get(task)).tags
        after = await client.tag(task, self._add, self._remove)
        self._done[task] = difference(before, after.tags)
        return after

    async def back(self, client: Client, task: str, reason: str) -> Task:
        """Give one task the tags that it had."""
        added, removed = self._done[task]
        if not added and not removed:
            return await client.get(task)
        return await client.tag(task, removed, added)
