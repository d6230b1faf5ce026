"""The workers, a row each: what they do, what comes next, how much of them is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from .....core.words.phrases import count_of
from ...grid import Grid
from . import cells
from .groups import Group, groups, sum_of, words_of
from .picture import Gpu, Worker, matches, share, shown

COLUMNS: tuple[dict[str, Any], ...] = (
    {
        "field": "worker",
        "headerName": "Worker",
        "pinned": "left",
        "width": 130,
        "sort": "asc",
        ":comparator": cells.NATURAL,
        ":valueGetter": cells.GROUP_NAME,
        ":cellRenderer": cells.WORKER,
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
    """The grid of workers that pass a tile's filter and hold what is searched for, in groups."""

    def __init__(
        self, workers: Iterable[Worker], filter: str, words: str = "", group: str = ""
    ) -> None:
        """`words` are searched for, `group` is one of `groups.kinds`."""
        self._filter = filter
        self._words = words
        self._group = group
        self._open: set[str] = set()
        self._workers = {one.name: one for one in workers}
        self.grid = Grid(
            COLUMNS,
            "worker",
            self._rows(),
            empty="no worker is here; evq agent starts one",
            narrow=NARROW,
            options={":postSortRows": cells.BELOW_HEADS},
        )
        self.grid.element.classes("evq-workers")
        if words:
            self.grid.search(words)
        ui.on("group_turned", self._turn)

    def show(self, workers: Iterable[Worker], filter: str) -> None:
        """Let these be all, through this filter."""
        self._filter = filter
        self._workers = {one.name: one for one in workers}
        self.grid.show(self._rows())

    def patch(self, changed: Sequence[Worker]) -> None:
        """Let these have changed."""
        self._workers |= {one.name: one for one in changed}
        if self._grouped:
            self.grid.show(self._rows())  # their groups have changed, too
            return
        rows = [row(one) for one in changed if self._passes(one)]
        kept = {row["worker"] for row in rows}
        self.grid.patch(rows, [one.name for one in changed if one.name not in kept])

    def search(self, words: str) -> None:
        """Show only those in which these words stand; while one searches, there are no groups."""
        self._words = words
        self.grid.show(self._rows())
        self.grid.search(words)

    def group(self, by: str) -> None:
        """Put those together that belong together; all groups are closed at first."""
        self._group = by
        self._open.clear()
        self.grid.show(self._rows())

    def _turn(self, event: GenericEventArguments) -> None:
        self._open ^= {str(event.args)}
        self.grid.show(self._rows())

    @property
    def _grouped(self) -> bool:
        return bool(self._group) and not self._words

    def _passes(self, worker: Worker) -> bool:
        return shown(worker) and matches(worker, self._filter)

    def _rows(self) -> list[dict[str, Any]]:
        known = [one for one in self._workers.values() if self._passes(one)]
        if not self._grouped:
            return [row(one) for one in known]
        return [made for one in groups(known, self._group) for made in self._group_rows(one)]

    def _group_rows(self, group: Group) -> Iterator[dict[str, Any]]:
        is_open = group.name in self._open
        yield row(sum_of(group)) | {
            "worker": f"group {group.name}",
            "group": group.name,
            "members": len(group.workers),
            "open": is_open,
            "gpus": [],
            "runs": words_of(group),
        }
        for one in group.workers if is_open else ():
            yield row(one) | {"group": group.name}


def row(worker: Worker) -> dict[str, Any]:
    """A worker as a row of the grid: rounded, so that only what a person can see is a change."""
    return {
        "worker": worker.name,
        "group": "",
        "members": None,
        "open": False,
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
