"""A family of tasks as a graph: who made whom, and who awaits whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

COLOURS = {
    "completed": "#009e73",
    "running": "#2f81d0",
    "claimed": "#56b4e9",
    "queued": "#9aa5b1",
    "held": "#c9ced6",
    "failed": "#d55e00",
    "timed_out": "#d55e00",
    "aborted": "#b06fb0",
}
WIDTH, HEIGHT = 190.0, 46.0


def columns(members: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """For each task in which column it stands: right of who made it and of all that it awaits."""
    known = {str(one["task"]): one for one in members}
    found: dict[str, int] = {}
    # They stand in the order of the log: what a task awaits, and who made it, come before it.
    for name, one in known.items():
        before = [one["parent"], *one["awaits"]]
        found[name] = 1 + max((found[other] for other in before if other in found), default=-1)
    return found


def picture(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """ECharts' options: a node for each task, a line for each wait, a dotted one for origin."""
    column = columns(members)
    filled: dict[int, int] = defaultdict(int)
    nodes = []
    for one in members:
        name = str(one["task"])
        place = column[name]
        nodes.append(
            {
                "id": name,
                "name": name,
                "x": place * WIDTH,
                "y": filled[place] * HEIGHT,
                "value": f"{one['name']} · {one['state']}",
                "itemStyle": {"color": COLOURS.get(str(one["state"]), "#9aa5b1")},
                "label": {"formatter": _short(str(one["name"]))},
            }
        )
        filled[place] += 1
    return drawing(nodes, _links(members, column), symbolSize=[150, 28])


def drawing(
    nodes: Sequence[Mapping[str, Any]], links: Sequence[Mapping[str, Any]], **series: Any
) -> dict[str, Any]:
    """ECharts' options for a graph whose nodes have their places; `series` are further ones."""
    graph = {
        "type": "graph",
        "layout": "none",
        "roam": True,
        "symbol": "roundRect",
        "label": {"show": True, "color": "#fff", "fontSize": 11, "overflow": "truncate"},
        "data": nodes,
        "links": links,
    }
    return {
        "animation": False,
        "tooltip": {"renderMode": "richText"},
        "series": [graph | series],
    }


def _links(members: Sequence[Mapping[str, Any]], known: Mapping[str, int]) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = []
    for one in members:
        name = str(one["task"])
        waits = [str(other) for other in one["awaits"] if other in known]
        links += [{"source": other, "target": name} for other in waits]
        # Who awaits others came from the same hand as they: a line from there says nothing more.
        if one["parent"] in known and not waits:
            origin = {"type": "dotted", "opacity": 0.6}
            links.append({"source": str(one["parent"]), "target": name, "lineStyle": origin})
    return links


def _short(text: str) -> str:
    """A label of a few letters. Braces would mean something to ECharts."""
    plain = text.replace("{", "(").replace("}", ")").replace("\n", " ")
    return plain if len(plain) <= 24 else plain[:23] + "…"
