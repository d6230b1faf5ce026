"""A run of a pipeline as a graph: its steps by what they wait for, and how far each is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .graph import COLOURS, drawing

WIDTH, HEIGHT = 200.0, 52.0
_WORST = ("running", "failed", "timed_out", "aborted", "skipped", "completed")


class Part(msgspec.Struct, frozen=True):
    """One item's part of a step, or a step that runs once. It is `running` until it has ended."""

    name: str
    state: str
    task: str = ""
    reused: bool = False
    evidence: str = ""

    @property
    def step(self) -> str:
        """The step of which it is."""
        return self.name.partition("[")[0]

    @property
    def index(self) -> int:
        """For which item it is, from 0."""
        return int(self.name.partition("[")[2].rstrip("]") or 0)


def fold(facts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[str]], dict[str, Part]]:
    """What each step of a run waits for, and its parts, out of the rows of `pipeline_facts`."""
    edges: dict[str, list[str]] = {}
    parts: dict[str, Part] = {}
    for row in facts:
        match row["kind"]:
            case "created":
                edges = dict(row["edges"] or {})
            case "planned":
                for name, task, *_ in row["plans"] or ():
                    parts[name] = Part(name, "running", task)
            case "settled":
                for one in row["results"] or ():
                    parts[one["part"]] = Part(
                        one["part"],
                        one["outcome"],
                        one["task"] or "",
                        bool(one["reused"]),
                        one["evidence"] or "",
                    )
            case "resumed":
                for name in row["parts"] or ():
                    parts.pop(name, None)
    return edges, parts


def columns(edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """For each step in which column it stands: right of all that it waits for."""
    found: dict[str, int] = {}

    def place(step: str) -> int:
        if step not in found:
            found[step] = 0  # whatever stands in the log, this comes to an end
            found[step] = 1 + max(map(place, edges.get(step, ())), default=-1)
        return found[step]

    for step in edges:
        place(step)
    return found


def in_order(edges: Mapping[str, Sequence[str]], parts: Mapping[str, Part]) -> list[Part]:
    """The parts as the graph has their steps, from left to right and from top to bottom."""
    column = columns(edges)
    place = {step: n for n, step in enumerate(sorted(column, key=lambda step: column[step]))}
    return sorted(parts.values(), key=lambda one: (place.get(one.step, -1), one.index))


def picture(edges: Mapping[str, Sequence[str]], parts: Mapping[str, Part]) -> dict[str, Any]:
    """ECharts' options: a node for each step, an arrow for each wait."""
    column = columns(edges)
    filled = Counter[int]()
    nodes = []
    for step in edges:
        own = [one for one in parts.values() if one.step == step]
        state = next((s for s in _WORST if any(one.state == s for one in own)), "waits")
        nodes.append(
            {
                "id": step,
                "name": step,
                "x": column[step] * WIDTH,
                "y": filled[column[step]] * HEIGHT,
                "value": _told(own),
                "itemStyle": {"color": COLOURS.get(state, "#9aa5b1")},
                "label": {"formatter": _label(step, own)},
            }
        )
        filled[column[step]] += 1
    links = [{"source": one, "target": step} for step, before in edges.items() for one in before]
    return drawing(nodes, links, symbolSize=[160, 32], edgeSymbol=["none", "arrow"])


def _label(step: str, own: Sequence[Part]) -> str:
    """`train 3/8`; only a step with several parts has a count."""
    if len(own) < 2:
        return step[:26]
    return f"{step[:18]} {sum(one.state != 'running' for one in own)}/{len(own)}"


def _told(own: Sequence[Part]) -> str:
    """`5 completed (2 cached), 1 failed: exit 1`."""
    if not own:
        return "waits"
    counts = Counter(one.state for one in own)
    reused = sum(one.reused for one in own)
    words = ", ".join(f"{count} {state}" for state, count in counts.items())
    why = next((one.evidence for one in own if one.evidence), "")
    return words + (f" ({reused} cached)" if reused else "") + (f": {why[:120]}" if why else "")
