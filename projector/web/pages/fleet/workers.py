"""The workers, a row each: what they do, what comes next, how much of them is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .....core.words.phrases import count_of
from ...grid import Grid
from . import cells
from .picture import Gpu, Worker, matches, share, shown

COLUMNS: tuple[dict[str, Any], ...] = (
    {
        "field": "worker",
        "headerName": "Worker",
        "pinned": "left",
        "width": 130,
        "sort": "asc",
        ":comparator": cells.NATURAL,
        ":cellRenderer": cells.link("/workers/"),
    },
    {
        "field": "state",
        "headerName": "State",
        "width": 96,
        ":cellRenderer": cells.STATE,
        "tooltipField": "why",
    },
    {
        "field": "gpus",
        "headerName": "GPUs",
        "width": 118,
        "cellDataType": False,
        ":cellRenderer": cells.GPUS,
        ":comparator": cells.BY_STATE,
    },
    {"field": "use", "headerName": "GPU %", "width": 74, ":cellRenderer": cells.SHARE},
    {"field": "vram", "headerName": "GPU mem", "width": 78, ":cellRenderer": cells.SHARE},
    {"field": "cpu", "headerName": "CPU", "width": 68, ":cellRenderer": cells.SHARE},
    {"field": "memory", "headerName": "Memory", "width": 74, ":cellRenderer": cells.SHARE},
    {"field": "disk", "headerName": "Disk", "width": 68, ":cellRenderer": cells.SHARE},
    {
        "field": "net",
        "headerName": "Network",
        "width": 84,
        "type": "rightAligned",
        ":valueFormatter": cells.RATE,
        "tooltipField": "net_words",
    },
    {
        "field": "hottest",
        "headerName": "Hottest",
        "width": 74,
        "type": "rightAligned",
        ":valueFormatter": cells.DEGREES,
    },
    {
        "field": "runs",
        "headerName": "Runs",
        "minWidth": 150,
        "flex": 3,
        "tooltipField": "runs",
    },
    {
        "field": "next",
        "headerName": "Next",
        "minWidth": 110,
        "flex": 2,
        "tooltipField": "next",
    },
    {
        "field": "busy_for",
        "headerName": "Busy for",
        "width": 80,
        "type": "rightAligned",
        ":valueFormatter": cells.SPAN,
        "headerTooltip": "what it runs and its share of what waits, by how long tasks took lately",
    },
    {
        "field": "queues",
        "headerName": "Queues",
        "minWidth": 90,
        "flex": 1,
        "tooltipField": "queues",
    },
)

NARROW = ("worker", "state", "gpus", "use", "runs")
"""What is left of it on a phone."""


class Workers:
    """The grid of workers that pass a tile's filter and hold what is searched for."""

    def __init__(self, workers: Iterable[Worker], filter: str) -> None:
        self._filter = filter
        self.grid = Grid(
            COLUMNS,
            "worker",
            self._rows(workers),
            empty="no worker is here; evq agent starts one",
            narrow=NARROW,
        )
        self.grid.element.classes("evq-workers")

    def show(self, workers: Iterable[Worker], filter: str) -> None:
        """Let these be all, through this filter."""
        self._filter = filter
        self.grid.show(self._rows(workers))

    def patch(self, changed: Sequence[Worker]) -> None:
        """Let these have changed."""
        rows = self._rows(changed)
        kept = {row["worker"] for row in rows}
        self.grid.patch(rows, [one.name for one in changed if one.name not in kept])

    def _rows(self, workers: Iterable[Worker]) -> list[dict[str, Any]]:
        return [row(one) for one in workers if shown(one) and matches(one, self._filter)]


def row(worker: Worker) -> dict[str, Any]:
    """A worker as a row of the grid: rounded, so that only what a person can see is a change."""
    return {
        "worker": worker.name,
        "state": worker.state,
        "why": worker.why,
        "gpus": [[gpu.state, round(gpu.utilisation or 0), gpu_words(gpu)] for gpu in worker.gpus],
        "use": _round(worker.utilisation),
        "vram": _round(worker.gpu_memory_share),
        "cpu": _round(worker.cpu),
        "memory": _round(share(worker.memory, worker.memory_total)),
        "disk": _round(share(worker.disk, worker.disk_total)),
        "net": _round(_sum(worker.net_in, worker.net_out), -3),
        "net_words": _net_words(worker),
        "hottest": _round(worker.hottest),
        "runs": _runs(worker),
        "next": worker.next_task,
        "busy_for": _round(worker.busy_seconds, -1 if (worker.busy_seconds or 0) > 60 else 0),
        "queues": ", ".join(worker.queues),
    }


def gpu_words(gpu: Gpu) -> str:
    """`GPU 3: 97 %, 71 of 80 GiB, 64 °C, busy: k3f9 ann train.py`."""
    facts = [f"{gpu.utilisation:.0f} %"] if gpu.utilisation is not None else []
    if gpu.memory is not None and gpu.memory_total:
        facts.append(f"{gpu.memory / 2**30:.0f} of {gpu.memory_total / 2**30:.0f} GiB")
    if gpu.temperature is not None:
        facts.append(f"{gpu.temperature:.0f} °C")
    facts.append(f"{gpu.state}: {gpu.words}" if gpu.words else gpu.state)
    return f"GPU {gpu.index}: {', '.join(facts)}"


def _runs(worker: Worker) -> str:
    if worker.services or len(worker.running) > 3:
        first = ", ".join(one.name for one in worker.running[:3])
        return f"{count_of(len(worker.running), 'task')}: {first}" if first else ""
    return " · ".join(
        f"{one.task} {one.user} {one.name}" + (" (quiet)" if one.quiet else "")
        for one in worker.running
    )


def _net_words(worker: Worker) -> str:
    if worker.net_in is None or worker.net_out is None:
        return ""
    return f"in {worker.net_in / 2**20:.1f} MiB/s, out {worker.net_out / 2**20:.1f} MiB/s"


def _sum(*values: float | None) -> float | None:
    return None if None in values else sum(value for value in values if value is not None)


def _round(value: float | None, digits: int = 0) -> int | None:
    return None if value is None else int(round(value, digits))
