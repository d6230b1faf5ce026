"""What somebody does to a worker or a queue from its page; each is an event with who and why."""

from __future__ import annotations

from nicegui import ui

from .....core.events import DrainRequested, ResumeRequested
from .....core.queueing.permits import Permits
from .....core.queueing.queues import QueuePaused, QueueResumed
from ...acting import actor_client, may
from ...asking import Snack, ask_reason, attempt
from ...source import Source
from .picture import Queue, Worker

WHY = "the dashboard"


class WorkerOrders:
    """Drain and resume, whichever makes sense for the worker as it is."""

    def __init__(self, source: Source, worker: Worker, snack: Snack) -> None:
        self._source = source
        self._snack = snack
        self._name = worker.name
        self._may = may(source)
        self._drain = ui.button("Drain", icon="block", on_click=self._ask_drain)
        self._resume = ui.button("Resume", icon="play_arrow", on_click=self.resume)
        for button in (self._drain, self._resume):
            button.props("outline dense size=sm")
        self.show(worker)

    def show(self, worker: Worker, locked: bool = False) -> None:
        """Let the worker be so; nothing can be done if it is `locked`."""
        locked = locked or not self._may
        drained = worker.state in ("draining", "drained")
        self._drain.set_visibility(not drained and not locked)
        self._resume.set_visibility(drained and not locked)

    def _ask_drain(self) -> None:
        title = f"Drain {self._name}? What runs goes on, and nothing new begins."
        ask_reason(title, "Drain", self.drain)

    async def drain(self, reason: str) -> None:
        """Let it take nothing more."""
        order = DrainRequested(self._name, reason)

        async def act() -> None:
            await actor_client(self._source).order(order)
            self._snack.say(f"{self._name} takes nothing more", self._take_again)

        await attempt(act)

    async def resume(self) -> None:
        """Let it take tasks again."""

        async def act() -> None:
            await self._take_again()
            self._snack.say(f"{self._name} takes tasks again")

        await attempt(act)

    async def _take_again(self) -> None:
        await actor_client(self._source).order(ResumeRequested(self._name, WHY))


class QueueOrders:
    """Pause and resume, and a limit."""

    def __init__(self, source: Source, queue: Queue, snack: Snack) -> None:
        self._source = source
        self._snack = snack
        self._name = queue.name
        self._may = may(source)
        self._pause = ui.button("Pause", icon="pause", on_click=self._ask_pause)
        self._resume = ui.button("Resume", icon="play_arrow", on_click=self.resume)
        self._limit = ui.button("Limit", icon="speed", on_click=self._ask_limit)
        for button in (self._pause, self._resume, self._limit):
            button.props("outline dense size=sm")
        self.show(queue)

    def show(self, queue: Queue, locked: bool = False) -> None:
        """Let the queue be so; nothing can be done if it is `locked`."""
        locked = locked or not self._may
        paused = queue.state == "paused"
        self._pause.set_visibility(not paused and not locked)
        self._resume.set_visibility(paused and not locked)
        self._limit.set_visibility(not locked)

    def _ask_pause(self) -> None:
        ask_reason(f"Pause {self._name}? What runs goes on.", "Pause", self.pause)

    async def pause(self, reason: str) -> None:
        """Let agents take nothing from it."""

        async def act() -> None:
            client = actor_client(self._source)
            await client.change_queue(QueuePaused(self._name, reason or WHY))
            self._snack.say(f"queue {self._name} is paused", self._open)

        await attempt(act)

    async def resume(self) -> None:
        """Let agents take from it again."""

        async def act() -> None:
            await self._open()
            self._snack.say(f"queue {self._name} is open")

        await attempt(act)

    async def _open(self) -> None:
        await actor_client(self._source).change_queue(QueueResumed(self._name, WHY))

    def _ask_limit(self) -> None:
        with ui.dialog(value=True) as dialog, ui.card().classes("w-96 max-w-full gap-2"):
            ui.label(f"How many tasks of {self._name} may run at once?").classes("evq-head")
            most = ui.number("At most", min=0, precision=0).props("clearable autofocus")
            each = ui.number("Of each user at most", min=0, precision=0).props("clearable")

            async def done() -> None:
                dialog.close()
                await self._set_limit(_whole(most.value), _whole(each.value))

            with ui.row().classes("w-full justify-end"):
                ui.button("Cancel", on_click=dialog.close).props("flat")
                ui.button("Set", on_click=done)
        dialog.on("hide", dialog.delete)

    async def _set_limit(self, most: int | None, per_user: int | None) -> None:
        async def act() -> None:
            client = actor_client(self._source)
            before, after = await client.limit_queue(self._name, most, per_user, WHY)
            text = "is limited" if after.limited else "has no limit"
            self._snack.say(f"queue {self._name} {text}", lambda: self._limit_as(before))

        await attempt(act)

    async def _limit_as(self, before: Permits) -> None:
        client = actor_client(self._source)
        await client.limit_queue(self._name, before.most, before.per_user, WHY)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
