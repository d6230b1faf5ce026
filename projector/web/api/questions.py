"""Questions that have a name, each with a route of its own, and SQL."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi import Query as InQuery
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from ....core.queries import Parameter, Query
from ....core.questions import Sql
from ...catalogue import reports
from ..source import Source
from .rows import Rows, rows_of

PARQUET = "application/vnd.apache.parquet"
_PARQUET: dict[int | str, dict[str, Any]] = {200: {"content": {PARQUET: {}}}}


class SqlQuery(BaseModel):
    """A query of one's own. It only reads, and is bounded in time and rows."""

    text: str = Field(description="One SELECT; docs/views.md tells what can be read.")
    timeout: float = Field(default=10.0, gt=0, le=600, description="Seconds.")
    rows: int = Field(default=10_000, ge=1, le=100_000)
    params: dict[str, Any] = Field(default={}, description="What `$name` in it stands for.")
    format: Literal["json", "parquet"] = Field(
        default="json", description="A Parquet file is bounded by its size, not by `rows`."
    )


def questions(source: Source) -> APIRouter:
    """The routes that ask the whole history."""
    router = APIRouter(tags=["questions"])
    for group in reports().values():
        for query in group.values():
            router.add_api_route(
                f"/questions/{query.name.replace('_', '-')}",
                _asking(source, query),
                response_model=Rows,
                summary=query.meaning,
                name=query.name,
            )

    @router.get("/questions/{name}", summary="A query that a user saved")
    async def saved(name: str) -> Rows:
        return rows_of(await source.named(name))

    @router.post("/sql", summary="A query of one's own", response_model=Rows, responses=_PARQUET)
    async def sql(query: SqlQuery) -> Rows | Response:
        if query.format == "parquet":
            return await _file(source, Sql(query.text, query.timeout, params=query.params))
        answer = await source.sql(
            query.text, timeout=query.timeout, rows=query.rows, params=query.params
        )
        return rows_of(answer)

    return router


async def _file(source: Source, question: Sql) -> Response:
    """The answer as a Parquet file, or the error that keeps it from being made."""
    pieces = source.parquet(question)
    first = await anext(pieces)

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_pieces(), media_type=PARQUET)


def _asking(source: Source, query: Query) -> Callable[..., Awaitable[Rows]]:
    """A handler whose signature is what the query takes: FastAPI describes and checks by it."""

    async def ask(**given: Any) -> Rows:
        return rows_of(await source.named(query.name, **given))

    parameters = [_parameter(one) for one in query.parameters]
    ask.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return ask


def _parameter(one: Parameter) -> inspect.Parameter:
    kinds: dict[str, Any] = {"number": float, "amount": float, "count": int}
    kind = Literal[one.choices] if one.choices else kinds.get(one.kind, str)
    optional = not one.required and one.default is None
    return inspect.Parameter(
        one.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if one.required else one.default,
        annotation=Annotated[kind | None if optional else kind, InQuery(description=one.meaning)],
    )
