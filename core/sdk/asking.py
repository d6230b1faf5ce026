"""Questions to a projector."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from .. import subjects
from ..bus.calls import NatsCalls
from ..errors import NotFound, ProjectorAway, UsageError
from ..ids import TASK_ID_LENGTH, is_task_id, is_task_prefix
from ..questions import Head, Named, Sql

if TYPE_CHECKING:
    from .client import Client

ANSWER_SECONDS = 35.0
POSITION_SECONDS = 2.0


def parts(calls: NatsCalls, question: Named | Sql) -> AsyncGenerator[bytes, None]:
    """A projector's answer as it is sent."""
    endpoint = "named" if isinstance(question, Named) else "sql"
    timeout = ANSWER_SECONDS
    if isinstance(question, Sql):
        timeout = max(timeout, question.timeout + 5)
    return calls.ask(subjects.question(endpoint), msgspec.json.encode(question), timeout)


async def answer(
    parts: AsyncGenerator[bytes, None],
) -> AsyncGenerator[Head | list[list[Any]], None]:
    """The answer that comes in these parts: a head, then lists of rows."""
    head: Head | None = None
    # Who stops early tells the projector so while the connection is there.
    async with aclosing(parts):
        async for part in parts:
            if head is None:
                head = msgspec.json.decode(part, type=Head)
                yield head
            else:
                yield msgspec.json.decode(part, type=list[list[Any]])


async def rows(
    answer: AsyncGenerator[Head | list[list[Any]], None],
) -> AsyncGenerator[dict[str, Any], None]:
    """An answer, a dict for each row."""
    names: list[str] = []
    async with aclosing(answer):
        async for part in answer:
            if isinstance(part, Head):
                names = [column.name for column in part.columns]
                continue
            for row in part:
                yield dict(zip(names, row, strict=True))


async def projected(calls: NatsCalls, timeout: float) -> int:
    """How far a projector has read the log. Raises `ProjectorAway`."""
    async for part in calls.ask(subjects.question("position"), b"", timeout):
        return msgspec.json.decode(part, type=Head).seq
    raise ProjectorAway("a projector answered nothing")


async def resolve(client: Client, selector: str) -> str:
    """The whole id that `selector` means: an id, or a prefix that only one id has."""
    text = selector.lower()
    if is_task_id(text):
        return text
    if not is_task_prefix(text):
        raise UsageError(
            f"{selector!r} is no task",
            why=f"a task id has {TASK_ID_LENGTH} letters and digits; a prefix will do",
            fix="evq ls, or @ for the last task you enqueued",
        )
    rows = [row async for row in client.rows(Named("resolve", {"prefix": text}))]
    if not rows:
        raise NotFound(f"no task's id begins with {text}", fix="evq ls")
    if len(rows) > 1:
        some = ", ".join(str(row["task"]) for row in rows[:5])
        raise UsageError(
            f"{text} is the beginning of several task ids", why=some, fix="type one more letter"
        )
    return str(rows[0]["task"])
