"""The code of a task: where it came from, and what was not committed."""

from __future__ import annotations

from nicegui import ui

from .....core.errors import EvqError
from .....core.sdk.compare import base_of, comparison
from .....core.state import Task
from ...source import Source
from .facts import pairs
from .log_view import Line, LogView

MOST = 4000
"""Lines of a difference that are shown."""


async def show(source: Source, task: Task) -> None:
    """Commit, branch, remote; then the difference to the commit."""
    code, repo = task.spec.code, task.spec.repo
    facts = {}
    if repo:
        facts = {"remote": repo.url, "commit": repo.commit or "", "branch": repo.branch or ""}
    if code:
        facts |= {
            "commit": code.commit or "none",
            "branch": code.branch or "",
            "remote": code.remote or "",
            "changes": ", ".join(f"{count} {kind}" for kind, count in code.changes.items()),
            "unpushed": str(code.unpushed or ""),
            "folder": code.folder,
            "snapshot": code.snapshot,
        }
    pairs({name: value for name, value in facts.items() if value})
    base = base_of(code) if code else None
    if code is None or base is None:
        if code:
            ui.label("It ran as it was committed.").classes("text-sm opacity-70 evq-code-same")
        return
    ui.label("Not committed").classes("font-bold text-sm")
    try:
        async with comparison(source.client.bus.objects, base, code) as both:
            patch = await both.patch(color=True)
    except EvqError as error:
        ui.label(f"It cannot be shown: {error}").classes("text-sm")
        return
    lines = [Line(number, 0, "stdout", text) for number, text in enumerate(patch.splitlines())]
    view = LogView().classes("w-full evq-code-diff")
    view.reset(lines[:MOST], at_start=True, at_end=True, search="", show=0, picked=None)
    if len(lines) > MOST:
        ui.label(f"… and {len(lines) - MOST} lines more").classes("text-sm")
