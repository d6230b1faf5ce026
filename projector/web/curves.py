"""Curves of metrics, as the projector thins them to what a screen can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .points import Point, point_of
from .source import Ask

Axis = Literal["time", "step"]


async def curves_of(
    ask: Ask,
    tasks: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    axis: Axis,
    pixels: int,
    last_only: bool = False,
) -> dict[tuple[str, str], list[Point]]:
    """The points by task and metric, of all attempts one after the other or of the last one only.

    On the axis `step` a metric without steps has none. Raises `EvqError`.
    """
    answer = await ask(
        "curve",
        tasks=list(tasks),
        names=None if names is None else list(names),
        axis=axis,
        pixels=pixels,
    )
    found: dict[tuple[str, str], list[Point]] = {}
    attempts: dict[tuple[str, str], int] = {}
    for row in answer.rows:
        key = (row["task"], row["name"])
        if last_only and attempts.get(key) != row["attempt"]:
            found[key] = []
        attempts[key] = row["attempt"]
        found.setdefault(key, []).append(point_of(row))
    return found
