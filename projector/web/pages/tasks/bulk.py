"""What may be done to several tasks at once, with a reason, in the name of whoever looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from .....core.decide import Move
from .....core.errors import EvqError
from .....core.ids import check_name
from .....core.sdk.bulk import Done, change_each, end_each, raise_first, retry_each
from .....core.sdk.client import Client
from .....core.state import Task
from ...acting import actor_client, may
from ...asking import Snack, ask_reason
from ...source import Source
from .tagging import Tagger, Tags, ask_tags

WHY = "from the dashboard"

ActOnOne = Callable[[Client, str, str], Awaitable[Task]]
"""Does it to one task, for a reason."""

Act = Callable[[Client, Sequence[str], str], Awaitable[list[Done]]]
"""Does it to many."""


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
        self._button("retry", lambda: self._ask("retry", retry_each))
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
            await self._act("tag", _each(tagger.tag), tasks, WHY, _each(tagger.back))

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
        try:
            client = actor_client(self._source)
        except EvqError as error:
            ui.notify(str(error), type="negative")
            return
        outcomes = await act(client, tasks, reason)
        done = [one.task for one in outcomes if one.now]
        refused = [f"{one.task}: {one.error.what}" for one in outcomes if one.error]
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
            raise_first(await back(client, tasks, "undone on the dashboard"))

        return undo


def _count(tasks: Sequence[str]) -> str:
    return "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"


async def _abort(client: Client, tasks: Sequence[str], reason: str) -> list[Done]:
    return await end_each(client, tasks, lambda task: client.abort(task, reason))


def _each(act: ActOnOne) -> Act:
    async def act_on_each(client: Client, tasks: Sequence[str], reason: str) -> list[Done]:
        return await change_each(tasks, lambda task: act(client, task, reason))

    return act_on_each


_archive = _each(lambda client, task, reason: client.archive(task, reason))
_unarchive = _each(lambda client, task, reason: client.unarchive(task, reason))


def _mover(queue: str) -> Act:
    async def move_all(client: Client, tasks: Sequence[str], reason: str) -> list[Done]:
        async def move(task: str) -> Task:
            check_name(queue, "queue")
            priority = (await client.get(task)).place.priority
            return await client.put(task, Move(queue, priority, None, reason))

        # One after the other: in this order they stand in the queue.
        return [one for task in tasks for one in await change_each([task], move)]

    return move_all
