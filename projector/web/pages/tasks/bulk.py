"""What may be done to several tasks at once, with a reason, in the name of whoever looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from .....core.decide import Move
from .....core.errors import EvqError
from .....core.ids import check_name
from .....core.sdk.client import Client
from ...acting import actor_client, may
from ...source import Source
from ..fleet.asking import ask_reason

Act = Callable[[Client, str, str], Awaitable[object]]
"""Does it to one task, for a reason."""


class Bulk:
    """Buttons that act on the tasks that `chosen` names."""

    def __init__(self, source: Source, chosen: Callable[[], Sequence[str]]) -> None:
        self._source = source
        self._chosen = chosen
        if not may(source):
            return
        for verb, act in (("abort", _abort), ("retry", _retry)):
            self._button(verb, act)
        ui.button("move", on_click=self._move).props("outline dense no-caps size=sm").classes(
            "evq-bulk-move"
        )

    def _button(self, verb: str, act: Act) -> None:
        def ask() -> None:
            self._ask(verb, act)

        ui.button(verb, on_click=ask).props("outline dense no-caps size=sm").classes(
            f"evq-bulk-{verb}"
        )

    def _ask(self, verb: str, act: Act) -> None:
        tasks = list(self._chosen())
        if not tasks:
            ui.notify("Choose tasks first.")
            return
        count = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"

        async def done(reason: str) -> None:
            await self._act(verb, act, tasks, reason or "from the dashboard")

        ask_reason(f"{verb.capitalize()} {count}?", verb.capitalize(), done)

    async def _move(self) -> None:
        with ui.dialog() as dialog, ui.card().classes("w-80"):
            ui.label("To which queue?").classes("font-bold")
            queue = ui.select(
                sorted(self._source.fleet.queues), with_input=True, new_value_mode="add-unique"
            ).classes("w-full")
            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=dialog.close).props("flat")
                ui.button("Go on", on_click=lambda: dialog.submit(queue.value))
        name = await dialog
        dialog.delete()
        if name:
            self._ask("move", _mover(str(name)))

    async def _act(self, verb: str, act: Act, tasks: Sequence[str], reason: str) -> None:
        done, refused = 0, list[str]()
        try:
            client = actor_client(self._source)
        except EvqError as error:
            ui.notify(str(error), type="negative")
            return
        for task in tasks:
            try:
                await act(client, task, reason)
                done += 1
            except EvqError as error:
                refused.append(f"{task}: {error.what}")
        said = f"{verb}: {done} of {len(tasks)} tasks"
        if refused:
            more = f"\n… and {len(refused) - 5} more" if len(refused) > 5 else ""
            ui.notify(
                said + "\n" + "\n".join(refused[:5]) + more,
                type="warning",
                multi_line=True,
                classes="whitespace-pre-line",
                close_button="close",
            )
        else:
            ui.notify(said, type="positive")


async def _abort(client: Client, task: str, reason: str) -> object:
    return await client.abort(task, reason)


async def _retry(client: Client, task: str, reason: str) -> object:
    return await client.retry(task, reason)


def _mover(queue: str) -> Act:
    async def move(client: Client, task: str, reason: str) -> object:
        check_name(queue, "queue")
        known = await client.get(task)
        return await client.put(
            task, Move(queue=queue, priority=known.place.priority, rank=None, reason=reason)
        )

    return move
