"""The whole log of an attempt, as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from nicegui import app

from .....core.errors import EvqError
from .....core.state import Task
from ...source import Source

PAGE = 10_000


def add_log_file(source: Source) -> None:
    """Put each attempt's log under `/tasks/ID/log/ATTEMPT`."""

    @app.get("/tasks/{task}/log/{attempt}")
    async def log_file(task: str, attempt: int) -> Response:
        try:
            found = await source.client.get(await source.client.resolve(task))
        except EvqError as error:
            return PlainTextResponse(f"{error}\n", 404)
        claim = next((one.claim for one in found.attempts if one.number == attempt), None)
        if claim is None:
            return PlainTextResponse(f"task {found.id} has no attempt {attempt}\n", 404)
        headers = {
            "Content-Disposition": f'attachment; filename="{found.id}-{attempt}.log"',
            "X-Content-Type-Options": "nosniff",
        }
        return StreamingResponse(
            _lines(source, found, claim), media_type="text/plain; charset=utf-8", headers=headers
        )


async def _lines(source: Source, task: Task, claim: int) -> AsyncIterator[str]:
    after = -1
    while True:
        answer = await source.named(
            "log_window", task=task.id, claim=claim, after=after, limit=PAGE
        )
        if answer.rows:
            yield "".join(f"{row['text']}\n" for row in answer.rows)
            after = answer.rows[-1]["line"]
        if len(answer.rows) < PAGE:
            return
