"""What may be done to several tasks at once, with a reason, in the name of whoever looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from .....core.decide import Move
from .....core.errors import EvqError
from .....core.ids import check_name
from .....core.sdk.client import Client
from ...acting import actor_client, may
from ...asking import Snack, ask_reason
from ...source import Source
from .tagging import Tagger, Tags, ask_tags

WHY = "from the dashboard"

Act = Callable[[Client, str, str], Awaitable[object]]
"""Does it to one task, for a reason."""


class Bulk:
    """Buttons that act on the tasks that `chosen` names; `tags` are those that they have."""

    def __init__(
        self,
        source: Source,
        chosen: Callable[[], Sequence[str]],
        tags: Callable[[], Sequence[str]],
    ) -> None:
        self._source = source
        self._chosen = chosen
        self._tags = tags
        self._snack = Snack()
        self._buttons: dict[str, ui.button] = {}
        if not may(source):
            return
        self._button("abort", lambda: self._ask("abort", _abort))
        self._button("retry", lambda: self._ask("retry", _retry))
        self._button("move", self._move)
        self._button("tag", self._tag)
        self._button("archive", lambda: self._ask("archive", _archive, _unarchive))
        self._button("unarchive", lambda: self._ask("unarchive", _unarchive, _archive))

    def show(self, archived: bool) -> None:
        """Offer what makes sense for tasks that are, or are not, in the archive."""
        hidden = ("abort", "move", "archive") if archived else ("unarchive",)
        for verb, button in self._buttons.items():
            button.set_visibility(verb not in hidden)

    def _button(self, verb: str, click: Callable[[], object]) -> None:
        button = ui.button(verb, on_click=click).props("outline dense no-caps size=sm")
        self._buttons[verb] = button.classes(f"evq-bulk-{verb}")

    def _ask(self, verb: str, act: Act, back: Act | None = None) -> None:
        tasks = self._some()

        async def done(reason: str) -> None:
            await self._act(verb, act, tasks, reason or WHY, back)

        if tasks:
            ask_reason(f"{verb.capitalize()} {_count(tasks)}?", verb.capitalize(), done)

    def _tag(self) -> None:
        tasks = self._some()

        async def done(add: Tags, remove: Tags) -> None:
            tagger = Tagger(add, remove)
            await self._act("tag", tagger.tag, tasks, WHY, tagger.back)

        if tasks:
            ask_tags(f"Tag {_count(tasks)}", self._tags(), done)

    def _some(self) -> list[str]:
        """The tasks that are chosen; if there are none it says so."""
        tasks = list(self._chosen())
        if not tasks:
            ui.notify("Choose tasks first.")
        return tasks

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

    async def _act(
        self, verb: str, act: Act, tasks: Sequence[str], reason: str, back: Act | None = None
    ) -> None:
        done, refused = list[str](), list[str]()
        try:
            client = actor_client(self._source)
        except EvqError as error:
            ui.notify(str(error), type="negative")
            return
        for task in tasks:
            try:
                await act(client, task, reason)
                done.append(task)
            except EvqError as error:
                refused.append(f"{task}: {error.what}")
        said = f"{verb}: {len(done)} of {len(tasks)} tasks"
        if refused:
            more = f"\n… and {len(refused) - 5} more" if len(refused) > 5 else ""
            ui.notify(
                said + "\n" + "\n".join(refused[:5]) + more,
                type="warning",
                multi_line=True,
                classes="whitespace-pre-line",
                close_button="close",
            )
        elif back is None:
            ui.notify(said, type="positive")
        if back and done:
            self._snack.say(said, self._undoing(back, done))

    def _undoing(self, back: Act, tasks: Sequence[str]) -> Callable[[], Awaitable[None]]:
        async def undo() -> None:
            client = actor_client(self._source)
            for task in tasks:
                await back(client, task, "undone on the dashboard")

        return undo


def _count(tasks: Sequence[str]) -> str:
    return "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"


async def _abort(client: Client, task: str, reason: str) -> object:
    return await client.abort(task, reason)


async def _archive(client: Client, task: str, reason: str) -> object:
    return await client.archive(task, reason)


async def _unarchive(client: Client, task: str, reason: str) -> object:
    return await client.unarchive(task, reason)


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
