"""Rows and columns of the list of tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .....core.sdk.live import LiveTask
from .....core.words.phrases import ago, span
from .....core.words.values import value_text
from ...states import COLORS

SPARK_WIDTH, SPARK_HEIGHT = 60, 16

_USUAL = (
    ("state", "state", "state"),
    ("task", "task", "task"),
    ("name", "name", "name"),
    ("queue", "queue", "queue"),
    ("user", "user", "user"),
    ("agent", "worker", "agent"),
    ("enqueued", "age", "enqueued"),
    ("wait", "wait", "wait_seconds"),
    ("run", "run", "run_seconds"),
    ("cause", "cause", "cause"),
    ("tags", "tags", ""),
)
"""Name, title, and what it is sorted by."""


def columns(chosen: Sequence[str]) -> list[dict[str, Any]]:
    """The table's columns: the usual ones, then parameters and metrics, by number, because what
    users call them is only to be shown."""
    usual = [
        {"name": name, "label": title, "field": name, "align": "left", "sortable": bool(sort)}
        for name, title, sort in _USUAL
    ]
    more = [
        {
            "name": f"x{number}",
            "label": label(name),
            "field": f"x{number}",
            "align": "right",
            "sortable": True,
        }
        for number, name in enumerate(chosen)
    ]
    return usual + more


def label(column: str) -> str:
    """A chosen column as its head says it: `lr`, `train/loss`, `train/loss min`."""
    kind, name, which = parts(column)
    return f"{name} {which}" if kind == "metrics" and which != "last" else name


def sort_of(name: str, chosen: Sequence[str]) -> str:
    """What the projector sorts by, for a column of the table."""
    if name.startswith("x") and name[1:].isdigit() and int(name[1:]) < len(chosen):
        return sortable(chosen[int(name[1:])])
    return next((sort for one, _, sort in _USUAL if one == name and sort), "enqueued")


def sortable(column: str) -> str:
    """`metrics.train/loss.min` with its name in quotes."""
    kind, name, which = parts(column)
    quoted = '"' + name.replace('"', '""') + '"'
    return f"params.{quoted}" if kind == "params" else f"metrics.{quoted}.{which}"


def parts(column: str) -> tuple[str, str, str]:
    """`params.lr`, `metrics.loss`, `metrics.loss.min`: kind, name, and which value of a metric."""
    kind, _, name = column.partition(".")
    rest, _, which = name.rpartition(".")
    if kind == "metrics" and rest and which in ("last", "min", "max"):
        return kind, rest, which
    return kind, name, "last"


def row(
    found: Mapping[str, Any], chosen: Sequence[str], metrics: Mapping[str, Any], now: int
) -> dict[str, Any]:
    """A row of the table out of one of the answer; `metrics` are the task's by name."""
    params = found["params"]
    params = json.loads(params) if isinstance(params, str) else params or {}
    shown = {
        "task": found["task"],
        "href": f"/tasks/{found['task']}",
        "state": found["state"],
        "color": COLORS.get(found["state"], "grey-6"),
        "name": found["name"],
        "queue": found["queue"],
        "user": found["user"] or "",
        "agent": found["agent"] or "",
        "enqueued": ago(_micro(found["enqueued"]), now),
        "wait": span(found["wait_seconds"]),
        "run": span(found["run_seconds"]),
        "cause": (found["cause"] or "").replace("_", " "),
        "tags": " ".join(found["tags"] or ()),
        "all_tags": list(found["tags"] or ()),
    }
    for number, column in enumerate(chosen):
        kind, name, which = parts(column)
        value = params.get(name) if kind == "params" else metrics.get(name, {}).get(which)
        shown[f"x{number}"] = "" if value is None else value_text(name, value)
    return shown


def live(shown: dict[str, Any], task: LiveTask) -> dict[str, Any]:
    """The row with what is known of the task now."""
    return shown | {
        "state": task.state,
        "color": COLORS.get(task.state, "grey-6"),
        "queue": task.queue,
        "agent": task.agent or "",
        "cause": (task.cause or "").replace("_", " "),
        "tags": " ".join(task.tags),
        "all_tags": list(task.tags),
    }


def with_quiet(shown: dict[str, Any], words: str) -> dict[str, Any]:
    """The row, and if its task runs these words in the place of a cause."""
    return shown | {"cause": words} if shown["state"] == "running" else shown


def spark(values: Sequence[float | None]) -> str:
    """Points of a line in a box of `SPARK_WIDTH` by `SPARK_HEIGHT`; empty for fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    wide, tall = SPARK_WIDTH / (len(known) - 1), (SPARK_HEIGHT - 2) / ((high - low) or 1)
    return " ".join(
        f"{number * wide:.1f},{SPARK_HEIGHT - 1 - (value - low) * tall:.1f}"
        for number, value in enumerate(known)
    )


def _micro(written: str | None) -> int | None:
    if written is None:
        return None
    moment = datetime.fromisoformat(written)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
