"""All that the pages show and do, as JSON under `/api`, described by `/api/openapi.json`."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from ....core.errors import EvqError
from ..source import Source
from .acts import acts
from .failures import Failure, failure, wrong_request
from .looks import looks
from .questions import questions
from .stream import stream


def make_api(source: Source) -> FastAPI:
    """The application under `/api`."""
    api = FastAPI(
        title="evq",
        description="What the dashboard shows and does. Log in with `Authorization: Bearer TOKEN`.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        # An answer that cannot be had is told in one form everywhere; see `failures`.
        responses={"default": {"model": Failure, "description": "Why there is no answer."}},
    )
    api.state.source = source
    for router in (looks(source), questions(source), acts(source), stream(source)):
        api.include_router(router)

    @api.exception_handler(EvqError)
    async def refused(request: object, error: EvqError) -> JSONResponse:
        return failure(error)

    @api.exception_handler(RequestValidationError)
    async def misread(request: object, error: RequestValidationError) -> JSONResponse:
        return wrong_request(error)

    return api
