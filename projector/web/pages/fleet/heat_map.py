"""All GPUs of all workers at a glance: one element, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from ...style import AXIS, COLOURS, TOGGLE
from .picture import GPU_STATES, Gpu, Worker, shown

MEASURES: dict[str, tuple[str, str, float, Callable[[Gpu], float | None]]] = {
    "use": ("utilisation", "%", 100, lambda gpu: gpu.utilisation),
    "memory": ("memory", "%", 100, lambda gpu: gpu.memory_share),
    "heat": ("temperature", "°C", 95, lambda gpu: gpu.temperature),
    "power": ("power", "W", 500, lambda gpu: gpu.power),
}
"""What the colours may stand for: its name, unit, largest value, and where it is from."""

DEFAULT = "use"

STRENGTH = (0.06, 1.0)
"""From nothing to all, of one colour: any eye sees it, on light and on dark."""

WIDEST = 56
"""Pixels that a worker takes at the most."""

_SIGNS = {"outside": "◆", "drained": "◌", "offline": "✕"}

_TIP = """(p) => {
    if (p.seriesType !== 'heatmap') return '';
    const [, gpu, value, state, worker] = p.data;
    return `${worker} · GPU ${gpu}\\n${state}` + (value < 0 ? '' : `, ${value} UNIT`);
}"""


class HeatCard:
    """The heat map with the choice of what its colours stand for; `chosen` is told of it, as the
    empty word if it is the usual one. It is there if there is any GPU."""

    def __init__(
        self, workers: Sequence[Worker], measure: str, chosen: Callable[[str], None]
    ) -> None:
        self._workers = workers
        self._chosen = chosen
        measure = measure if measure in MEASURES else DEFAULT
        with ui.element("div").classes("evq-card") as self._card:
            with ui.row().classes("w-full items-center gap-3"):
                ui.label("GPUs by worker").classes("evq-head")
                ui.label("◆ outside use  ◌ drained  ✕ offline").classes("evq-dim")
                ui.space()
                names = {key: one[0] for key, one in MEASURES.items()}
                toggle = ui.toggle(names, value=measure, on_change=lambda e: self._choose(e.value))
                toggle.props(TOGGLE)
            self._map = HeatMap(workers, measure)
        self.show(workers)

    def show(self, workers: Sequence[Worker]) -> None:
        """Let these be all workers."""
        self._workers = workers
        self._card.set_visibility(any(one.gpus for one in workers))
        self._map.show(workers)

    def _choose(self, measure: str) -> None:
        self._chosen("" if measure == DEFAULT else measure)
        self._map.measure(measure, self._workers)


class HeatMap:
    """Workers from left to right, their GPUs from top to bottom."""

    def __init__(self, workers: Sequence[Worker], measure: str) -> None:
        self._measure = measure
        self._cells: list[list[Any]] = []
        self._names: list[str] = []
        self.chart = ui.echart({}, on_point_click=self._open).classes("w-full")
        self.chart.classes("evq-heat-map")
        self.show(workers)

    def measure(self, measure: str, workers: Sequence[Worker]) -> None:
        """Let the colours stand for something else."""
        self._measure = measure
        self._names = []
        self.show(workers)

    def show(self, workers: Sequence[Worker]) -> None:
        """Let these be all workers."""
        known = sorted((one for one in workers if shown(one) and one.gpus), key=_natural)
        names = [one.name for one in known]
        measured = MEASURES[self._measure][3]
        cells = [
            [column, gpu.index, _value(measured(gpu)), gpu.state, worker.name]
            for column, worker in enumerate(known)
            for gpu in worker.gpus
        ]
        if names != self._names:
            self._names, self._cells = names, cells
            self._draw(cells, max((gpu.index for one in known for gpu in one.gpus), default=0) + 1)
        elif cells != self._cells:
            self._cells = cells
            self.chart.run_chart_method("setOption", {"series": _series(cells)})

    def _draw(self, cells: list[list[Any]], deep: int) -> None:
        _, unit, most, _ = MEASURES[self._measure]
        self.chart.options.clear()
        self.chart.options.update(
            {
                "animation": False,
                "grid": {"left": 34, "right": 8, "top": 6, "bottom": 50},
                "tooltip": {"renderMode": "richText", ":formatter": _TIP.replace("UNIT", unit)},
                "xAxis": {
                    "type": "category",
                    "data": self._names,
                    "axisLabel": {"color": AXIS, "fontSize": 10, "hideOverlap": True},
                    "axisTick": {"show": False},
                    "axisLine": {"show": False},
                },
                "yAxis": {
                    "type": "category",
                    "data": [str(number) for number in range(deep)],
                    "inverse": True,
                    "axisLabel": {"color": AXIS, "fontSize": 10},
                    "axisTick": {"show": False},
                    "axisLine": {"show": False},
                },
                "visualMap": {
                    "type": "continuous",
                    "seriesIndex": 0,
                    "dimension": 2,
                    "min": 0,
                    "max": most,
                    "orient": "horizontal",
                    "left": "center",
                    "bottom": 0,
                    "itemHeight": 120,
                    "itemWidth": 10,
                    "text": [f"{most:g} {unit}", "0"],
                    "textStyle": {"color": AXIS, "fontSize": 10},
                    "inRange": {"color": [COLOURS["busy"]], "colorAlpha": list(STRENGTH)},
                    "outOfRange": {"color": ["transparent"]},
                },
                "series": _series(cells),
            }
        )
        width = 60 + len(self._names) * WIDEST
        self.chart.style(f"height: {70 + deep * 18}px; max-width: max({width}px, 280px)")
        self.chart.update()

    def _open(self, event: EChartPointClickEventArguments) -> None:
        if isinstance(event.data, list) and event.data:
            ui.navigate.to(f"/workers/{self._names[event.data[0]]}")


def _series(cells: list[list[Any]]) -> list[dict[str, Any]]:
    """The colours, and over them a sign for each GPU that cannot be given to a task."""
    signs = [
        {
            "type": "scatter",
            "name": state,
            "data": [cell[:2] for cell in cells if cell[3] == state],
            "symbolSize": 0,
            "silent": True,
            "label": {
                "show": True,
                "formatter": _SIGNS[state],
                "color": COLOURS[state],
                "fontSize": 12,
            },
        }
        for state in GPU_STATES
        if state in _SIGNS
    ]
    colours = {
        "type": "heatmap",
        "data": cells,
        "itemStyle": {"borderColor": "rgba(138, 146, 156, 0.35)", "borderWidth": 1},
    }
    return [colours, *signs]


def _value(value: float | None) -> int:
    return -1 if value is None else round(value)


def _natural(worker: Worker) -> tuple[str, int, str]:
    """`gpu-2` before `gpu-10`."""
    stem = worker.name.rstrip("0123456789")
    number = worker.name[len(stem) :]
    return stem, int(number or 0), worker.name
