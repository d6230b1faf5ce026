"""What a task has saved: a table, and each artifact as a file to download."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from nicegui import app, ui

from .....core.artifacts import Artifact, find_artifact
from .....core.cleaning.cleaned import removal_of, removal_text
from .....core.errors import EvqError
from .....core.sdk.artifacts import contents_of
from .....core.state import Task
from .....core.units import size_text
from ...source import Source
from .command import command_line

_REST = re.compile(r"bytes=(\d+)-\Z")


def show(task: Task) -> None:
    """A row for each artifact of each attempt, the later attempt first."""
    with ui.column().classes("w-full gap-2 evq-artifacts"):
        if not any(attempt.saved for attempt in task.attempts):
            ui.label("It has saved nothing.").classes("text-sm opacity-70")
            command_line("evq.save('model.pt')", "in the task's Python keeps a file")
            return
        command_line(f"evq get {task.id}", "brings all of them here")
        for attempt in reversed(task.attempts):
            if attempt.saved:
                ui.label(f"attempt {attempt.number}").classes("font-bold text-sm")
            if removal := removal_of(task, "artifacts", attempt.number):
                ui.label(removal_text(removal)).classes("text-sm opacity-70")
                continue
            for one in attempt.saved:
                _row(task, attempt.number, one)


def _row(task: Task, attempt: int, one: Artifact) -> None:
    with ui.row().classes("w-full items-center gap-4 text-sm evq-artifact"):
        where = f"/tasks/{task.id}/artifacts/{quote(one.name)}?attempt={attempt}"
        ui.link(one.name + "/" * one.folder, where).classes("font-mono text-xs break-all")
        ui.label(size_text(one.size))
        ui.label(one.digest[:12]).classes("font-mono text-xs opacity-70").tooltip(one.digest)
        ui.label(one.depot).classes("text-xs opacity-70")


def add_artifact_files(source: Source) -> None:
    """Put each artifact under `/tasks/ID/artifacts/NAME`; a folder is a tar archive."""

    @app.get("/tasks/{task}/artifacts/{name:path}")
    async def artifact_file(
        request: Request, task: str, name: str, attempt: int | None = None
    ) -> Response:
        try:
            found = await source.client.get(await source.client.resolve(task))
            one = find_artifact(found, name, attempt)
        except EvqError as error:
            return PlainTextResponse(f"{error}\n", 404)
        start = _start(request.headers, one)
        return StreamingResponse(
            contents_of(source.client.bus, one, start),
            status_code=206 if start else 200,
            media_type="application/octet-stream",
            headers=_headers(one, start),
        )


def _start(asked: Mapping[str, str], one: Artifact) -> int:
    """From which byte on the browser wants it: it may have a part of this very content."""
    rest = _REST.match(asked.get("range", ""))
    same = asked.get("if-range", _tag(one)) == _tag(one)
    start = int(rest[1]) if rest and same else 0
    return start if start < one.size else 0


def _tag(one: Artifact) -> str:
    return f'"{one.digest}"'


def _headers(one: Artifact, start: int) -> dict[str, str]:
    file = one.name.rpartition("/")[2] + ".tar" * one.folder
    found = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file, safe='')}",
        "Content-Length": str(one.size - start),
        # Packed once more it would have no length, and could not be gone on with.
        "Content-Encoding": "identity",
        "Accept-Ranges": "bytes",
        "ETag": _tag(one),
    }
    if start:
        found["Content-Range"] = f"bytes {start}-{one.size - 1}/{one.size}"
    return found
