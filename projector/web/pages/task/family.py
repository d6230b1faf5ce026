"""The task that enqueued this one, or that it was cloned from, and those of which it is that."""

from __future__ import annotations

from nicegui import ui

from .....core.state import Task
from ...source import Source

MOST = 100


async def show(source: Source, task: Task) -> None:
    """Links to the task's parent and to its children, the newest first."""
    children = (await source.named("tasks", parent=task.id, limit=MOST)).rows
    if task.spec.parent:
        with ui.row().classes("items-center gap-2 text-sm"):
            ui.label("parent").classes("opacity-70")
            ui.link(task.spec.parent, f"/tasks/{task.spec.parent}").classes("evq-link evq-parent")
    if children:
        more = "the newest " if len(children) == MOST else ""
        ui.label(f"{more}{len(children)} that it enqueued or that are its clones").classes(
            "text-sm opacity-70"
        )
        for row in children:
            with ui.row().classes("items-center gap-2 text-xs"):
                ui.link(row["task"], f"/tasks/{row['task']}").classes("evq-link evq-child")
                ui.label(row["state"])
                ui.label(row["name"]).classes("font-mono break-all")
