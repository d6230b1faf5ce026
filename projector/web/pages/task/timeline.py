"""What an attempt's time was spent on, to scale."""

from __future__ import annotations

import msgspec
from nicegui import ui

from .....core.state import Attempt, Ended, Held, Queued, Task
from .....core.words.phrases import span

COLORS = {
    "held": "#ab47bc",
    "queued": "#90a4ae",
    "claimed": "#b0bec5",
    "code": "#4fc3f7",
    "container": "#7986cb",
    "environment": "#ffb74d",
    "gather": "#ba68c8",
    "running": "#42a5f5",
    "completed": "#66bb6a",
    "failed": "#ef5350",
    "timed_out": "#ef5350",
    "aborted": "#ffa726",
    "lost": "#ffa726",
}
_OTHER = "#4db6ac"


class Stretch(msgspec.Struct, frozen=True):
    """A part of a row: times in microseconds; `look` is a key of `COLORS`, or a phase's name."""

    name: str
    look: str
    begin: int
    end: int
    detail: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0, self.end - self.begin) / 1e6


def stretches(task: Task, now: int) -> list[list[Stretch]]:
    """A row for each attempt, from when the task began to wait for it, and one while it waits."""
    rows, since = [], task.enqueued
    for attempt in task.attempts:
        rows.append([Stretch("queued", "queued", since, attempt.claimed), *_parts(attempt, now)])
        since = attempt.end.at if attempt.end else now
    state = task.state
    if isinstance(state, Held | Queued):
        rows.append([Stretch(task.name_of_state, task.name_of_state, state.since, now)])
    elif not rows:
        end = state.at if isinstance(state, Ended) else now
        rows.append([Stretch("queued", "queued", task.enqueued, end)])
    return rows


def _parts(attempt: Attempt, now: int) -> list[Stretch]:
    end = attempt.end.at if attempt.end else now
    set_up = attempt.launch.at if attempt.launch else end
    parts, reached = [], attempt.claimed
    for phase in attempt.phases:
        until = set_up if phase.seconds is None else phase.began + round(phase.seconds * 1e6)
        if phase.began > reached:
            parts.append(Stretch("claimed", "claimed", reached, phase.began))
        detail = ", ".join(filter(None, ("cached" if phase.cached else "", phase.detail)))
        parts.append(Stretch(phase.name, phase.name, phase.began, until, detail))
        reached = max(reached, until)
    if set_up > reached:
        parts.append(Stretch("claimed", "claimed", reached, set_up))
    if attempt.launch:
        look = "running"
        if attempt.end:
            look = attempt.end.outcome.value if attempt.end.outcome else "lost"
        parts.append(Stretch("running", look, attempt.launch.at, end))
    return parts


def show(task: Task, now: int) -> None:
    """The rows as bars of one scale, with what each part took."""
    rows = stretches(task, now)
    first = min(row[0].begin for row in rows)
    whole = max(1, max(row[-1].end for row in rows) - first)
    with ui.column().classes("w-full gap-1 evq-timeline"):
        for number, row in enumerate(rows, 1):
            with ui.row().classes("w-full items-center gap-2 no-wrap"):
                if len(rows) > 1:
                    ui.label(str(number)).classes("text-xs opacity-60 w-4 text-right")
                with (
                    ui.element("div")
                    .classes("relative grow h-5 rounded overflow-hidden")
                    .style("background: rgb(128 128 128 / .12)")
                ):
                    for one in row:
                        _bar(one, first, whole)
            with ui.row().classes("w-full gap-x-3 gap-y-0"):
                for one in row:
                    if one.seconds >= 0.05 or one.name != "claimed":
                        _legend(one)


def _bar(one: Stretch, first: int, whole: int) -> None:
    left = 100 * (one.begin - first) / whole
    width = 100 * (one.end - one.begin) / whole
    bar = (
        ui.element("div")
        .classes("absolute h-full")
        .style(f"left: {left:.4f}%; width: max({width:.4f}%, 2px); background: {_color(one.look)}")
    )
    with bar:
        words = f"{one.name} {span(one.seconds)}"
        ui.tooltip(f"{words}: {one.detail}" if one.detail else words)


def _legend(one: Stretch) -> None:
    with ui.row().classes("items-center gap-1 text-xs no-wrap"):
        ui.element("span").classes("w-2 h-2 rounded-sm").style(f"background: {_color(one.look)}")
        ui.label(one.name).classes("opacity-70")
        ui.label(span(one.seconds))
        if one.detail:
            ui.label(one.detail).classes("opacity-60 truncate max-w-xs")


def _color(look: str) -> str:
    return COLORS.get(look, _OTHER)
