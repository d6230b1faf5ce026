"""One worker: what it runs and will run, its GPUs, and its machine over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from .....core.errors import EvqError
from .....core.sdk.author import now
from .....core.sdk.live import Changes
from .....core.units import size_text
from .....core.words.phrases import ago, span
from ...following import follow
from ...grid import Grid
from ...source import Source
from . import cells
from .choices import Choices, add_ranges
from .head import Head
from .orders import WorkerOrders
from .picture import Gpu, Waiting, Worker, share
from .present import Present
from .slider import TimeSlider
from .travel import travel
from .worker_curves import WorkerCurves

COMING = 8

RUNNING_COLUMNS: tuple[dict[str, Any], ...] = (
    {"field": "task", "headerName": "Task", "width": 128, ":cellRenderer": cells.link("/tasks/")},
    {"field": "name", "headerName": "Runs now", "minWidth": 110, "flex": 2, "tooltipField": "name"},
    {"field": "user", "headerName": "User", "width": 90},
    {"field": "gpus", "headerName": "GPUs", "width": 76},
    {
        "field": "since",
        "headerName": "For",
        "width": 80,
        "type": "rightAligned",
        ":valueFormatter": cells.SINCE,
    },
    {
        "field": "quiet",
        "headerName": "Quiet",
        "headerTooltip": "for how long it has said nothing and used neither CPU nor GPU",
        "width": 80,
        "type": "rightAligned",
        ":valueFormatter": cells.SINCE,
    },
    {
        "field": "queue",
        "headerName": "Queue",
        "width": 110,
        ":cellRenderer": cells.link("/queues/"),
    },
)

COMING_COLUMNS: tuple[dict[str, Any], ...] = (
    {"field": "task", "headerName": "Task", "width": 128, ":cellRenderer": cells.link("/tasks/")},
    {"field": "name", "headerName": "Comes next", "minWidth": 110, "flex": 2},
    {"field": "user", "headerName": "User", "width": 90},
    {"field": "asks", "headerName": "Asks for", "width": 120, "tooltipField": "asks"},
    {"field": "place", "headerName": "Place", "width": 64, "type": "rightAligned"},
    {
        "field": "queue",
        "headerName": "Queue",
        "width": 110,
        ":cellRenderer": cells.link("/queues/"),
    },
)

GPU_COLUMNS: tuple[dict[str, Any], ...] = (
    {"field": "index", "headerName": "GPU", "width": 56},
    {"field": "state", "headerName": "State", "width": 90, ":cellRenderer": cells.STATE},
    {"field": "use", "headerName": "Use", "width": 80, ":cellRenderer": cells.SHARE},
    {"field": "memory", "headerName": "Memory", "width": 80, ":cellRenderer": cells.SHARE},
    {
        "field": "heat",
        "headerName": "Temp",
        "width": 68,
        "type": "rightAligned",
        ":valueFormatter": cells.DEGREES,
    },
    {"field": "power", "headerName": "Power", "width": 70, "type": "rightAligned"},
    {"field": "words", "headerName": "Who", "minWidth": 140, "flex": 2, "tooltipField": "words"},
    {"field": "name", "headerName": "Model", "minWidth": 90, "flex": 1},
)


PAST_COLUMNS: tuple[dict[str, Any], ...] = (
    {"field": "task", "headerName": "Task", "width": 128, ":cellRenderer": cells.link("/tasks/")},
    {"field": "attempt", "headerName": "Attempt", "width": 72, "type": "rightAligned"},
    {"field": "name", "headerName": "Name", "minWidth": 110, "flex": 2, "tooltipField": "name"},
    {"field": "user", "headerName": "User", "width": 100},
    {"field": "queue", "headerName": "Queue", "width": 110},
    {"field": "gpus", "headerName": "GPUs", "width": 62, "type": "rightAligned"},
    {"field": "outcome", "headerName": "Outcome", "width": 130},
    {
        "field": "ended",
        "headerName": "Ended ago",
        "width": 90,
        "type": "rightAligned",
        ":valueFormatter": cells.SINCE,
    },
    {
        "field": "took",
        "headerName": "Took",
        "width": 80,
        "type": "rightAligned",
        ":valueFormatter": cells.SPAN,
    },
)


class WorkerPage:
    """The blocks of a worker's page."""

    def __init__(self, source: Source, present: Present, chosen: Choices, worker: Worker) -> None:
        self._source = source
        self._present = present
        self._chosen = chosen
        self._name = worker.name
        self._head = Head(worker.name, lambda snack: WorkerOrders(source, worker, snack))
        add_ranges(chosen, self._load_range)
        self._slider = TimeSlider(chosen.hours, chosen.at, self._travel)
        with ui.element("div").classes("evq-charts"):
            self._running = Grid(
                RUNNING_COLUMNS,
                "task",
                _running_rows(worker),
                most=8,
                empty="nothing runs here",
                narrow=("task", "name", "since"),
            )
            self._coming = Grid(
                COMING_COLUMNS,
                "task",
                self._coming_rows(),
                most=8,
                empty="nothing waits for it",
                narrow=("task", "name", "place"),
            )
        self._running.element.classes("evq-running")
        self._coming.element.classes("evq-coming")
        self._gpus = Grid(
            GPU_COLUMNS,
            "id",
            _gpu_rows(worker.gpus),
            most=16,
            empty="it has no GPU for tasks",
            narrow=("index", "state", "use", "memory"),
        )
        self._gpus.place.set_visibility(bool(worker.gpus))
        self._curves = WorkerCurves(source, worker.name, bool(worker.gpus))
        ui.label("Ran here lately").classes("evq-head")
        self._past = Grid(
            PAST_COLUMNS,
            "claim",
            [],
            most=12,
            empty="nothing has run here",
            narrow=("task", "name", "outcome", "took"),
        )
        self._say(worker)

    async def begin(self, version: int) -> None:
        """Ask for what is past, and follow what happens from now on."""
        follow(self._source.fleet, version, self._show)
        if self._chosen.at is not None:
            await self._travel(self._chosen.at)
        await self._load()

    async def _load_range(self) -> None:
        self._slider.stretch(self._chosen.hours, self._chosen.at)
        await self._load()

    async def _load(self) -> None:
        await self._curves.load(self._chosen.hours)
        try:
            answer = await self._source.known("worker_attempts", agent=self._name)
        except EvqError:
            return  # the curves have said that nobody answers
        self._past.order([_past_row(row) for row in answer.rows])

    async def _travel(self, at: int | None) -> None:
        """Show it as it was at a moment, in microseconds since 1970, or as it is now."""
        then = await travel(self._source.client, self._chosen, self._slider, at)
        at = self._chosen.at
        self._curves.mark(at)
        self._running.clock(at)
        if then is None:
            worker = self._present.worker(self._name)
        else:
            worker = next((one for one in then.workers if one.name == self._name), None)
        self._draw(worker or Worker(name=self._name, state="down", why="it was not there"))

    def _show(self, changes: Changes) -> None:
        """Draw what has changed; while its user looks back, nothing has."""
        worker = self._present.worker(self._name)
        if worker is None or self._chosen.at is not None:
            return
        if changes.everything or self._name in changes.agents:
            self._draw(worker)
        else:
            self._coming.order(self._coming_rows())

    def _draw(self, worker: Worker) -> None:
        at = self._chosen.at
        self._say(worker)
        self._running.show(_running_rows(worker))
        self._gpus.show(_gpu_rows(worker.gpus))
        self._gpus.place.set_visibility(bool(worker.gpus))
        self._head.orders.show(worker, locked=at is not None)
        # Nobody has written down what it would have taken next.
        self._coming.order(self._coming_rows() if at is None else [])

    def _say(self, worker: Worker) -> None:
        self._head.say(worker.state, worker.why, facts(worker, self._chosen.at or now()))

    def _coming_rows(self) -> list[dict[str, Any]]:
        return [_coming_row(one) for one in self._present.coming(self._name, COMING)]


def facts(worker: Worker, at: int) -> list[str]:
    """What there is to say about a worker in one line, as of `at` (microseconds)."""
    said = [f"on {worker.host}"] if worker.host else []
    if worker.since and worker.state not in ("lost", "silent", "down"):
        said.append(f"up {ago(worker.since, at)}")
    said.append(f"{len(worker.running)} of {worker.slots} slots")
    if worker.queues:
        said.append(f"serves {', '.join(worker.queues)}")
    if worker.busy_seconds:
        said.append(f"busy for about {span(worker.busy_seconds)}")
    if worker.cpu is not None:
        said.append(f"CPU {worker.cpu:.0f} %")
    for name, part, whole in (
        ("memory", worker.memory, worker.memory_total),
        ("disk", worker.disk, worker.disk_total),
    ):
        if part is not None and whole:
            said.append(f"{name} {share(part, whole):.0f} % of {size_text(int(whole))}")
    if worker.version:
        said.append(f"evq {worker.version}")
    return [*said, worker.trouble] if worker.trouble else said


def _running_rows(worker: Worker) -> list[dict[str, Any]]:
    return [
        {
            "task": one.task,
            "name": f"{worker.name}/{one.name}" if worker.services else one.name,
            "user": one.user,
            "gpus": ", ".join(map(str, one.gpus)),
            "since": one.since // 1000,
            "quiet": None if one.quiet is None else one.quiet // 1000,
            "queue": one.queue,
        }
        for one in worker.running
    ]


def _coming_row(one: Waiting) -> dict[str, Any]:
    return {
        "task": one.task,
        "name": one.name,
        "user": one.user,
        "asks": one.asks,
        "place": one.place,
        "queue": one.queue,
    }


def _past_row(row: dict[str, Any]) -> dict[str, Any]:
    end = row["ended"] or now()
    cause = f" ({row['cause']})" if row["cause"] else ""
    return {
        "claim": f"{row['task']}-{row['attempt']}",
        "task": row["task"],
        "attempt": row["attempt"],
        "name": row["name"],
        "user": row["user"],
        "queue": row["queue"],
        "gpus": row["gpus"] or None,
        "outcome": f"{row['outcome']}{cause}",
        "ended": None if row["ended"] is None else row["ended"] // 1000,
        "took": round((end - row["claimed"]) / 1e6, 1),
    }


def _gpu_rows(gpus: Sequence[Gpu]) -> list[dict[str, Any]]:
    return [
        {
            "id": gpu.id,
            "index": gpu.index,
            "state": gpu.state,
            "use": None if gpu.utilisation is None else round(gpu.utilisation),
            "memory": None if gpu.memory_share is None else round(gpu.memory_share),
            "heat": None if gpu.temperature is None else round(gpu.temperature),
            "power": "" if gpu.power is None else f"{gpu.power:.0f} W",
            "words": gpu.words,
            "name": gpu.name,
        }
        for gpu in gpus
    ]
