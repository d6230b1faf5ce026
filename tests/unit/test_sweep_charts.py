"""The pictures of a sweep: what is drawn for which trials."""

from __future__ import annotations

from typing import Any

from evq.projector.web.pages.services.sweep_charts import axes, importances, progress
from evq.projector.web.style import AXIS, GRID_LINE


def trial(number: int, state: str, *values: float, **params: Any) -> dict[str, Any]:
    return {"number": number, "state": state, "values": list(values), "params": params}


TRIALS = [
    trial(0, "complete", 3.0, lr=0.001, kind="a"),
    trial(1, "pruned", lr=0.1, kind="b"),
    trial(2, "complete", 5.0, lr=0.5, kind="b"),
    trial(3, "complete", 1.0, lr=0.9),
    trial(4, "running", lr=0.2),
]


def test_the_best_so_far_only_gets_better() -> None:
    points, line = progress(TRIALS, "loss", "minimize")["series"]
    assert points["data"] == [[0, 3.0], [2, 5.0], [3, 1.0]]
    assert line["data"] == [[0, 3.0], [2, 3.0], [3, 1.0]]
    _, line = progress(TRIALS, "acc", "maximize")["series"]
    assert line["data"] == [[0, 3.0], [2, 5.0], [3, 5.0]]


def test_what_matters_most_is_on_top() -> None:
    options = importances({"lr": 0.75, "width{0}": 0.25})
    assert options["yAxis"]["data"] == ["width(0)", "lr"]
    assert options["series"][0]["data"] == [0.25, 0.75]


def test_each_parameter_has_its_axis() -> None:
    options = axes(TRIALS, ["lr", "kind"], "loss")
    lr, kind, loss = options["parallelAxis"]
    assert (lr["type"], loss["type"]) == ("log", "value")
    assert (kind["type"], kind["data"]) == ("category", ["a", "b"])
    assert options["series"][0]["data"] == [[0.001, "a", 3.0], [0.5, "b", 5.0], [0.9, None, 1.0]]
    assert axes([], ["lr"], "loss")["series"][0]["data"] == []


def test_no_axis_has_the_colours_of_a_light_page() -> None:
    drawn = (progress(TRIALS, "loss", "minimize"), importances({"lr": 1.0}))
    found = [chart[axis] for chart in drawn for axis in ("xAxis", "yAxis")]
    found += axes(TRIALS, ["lr", "kind"], "loss")["parallelAxis"]
    for axis in found:
        assert axis["axisLabel"]["color"] == axis["axisLine"]["lineStyle"]["color"] == AXIS
        assert axis["splitLine"]["lineStyle"]["color"] == GRID_LINE
