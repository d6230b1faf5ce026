"""Errors as JSON: what, why, what to do and the code, as on the command line."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ....core.errors import EvqError, UsageError

_STATUS = {2: 400, 3: 503, 4: 404, 5: 409, 6: 403}
"""HTTP's words for the exit statuses of `core.errors`."""


class Failure(BaseModel):
    """Why there is no answer."""

    code: str
    what: str
    why: str = ""
    fix: str = ""


def failure(error: EvqError) -> JSONResponse:
    """The answer that tells of an error."""
    said = Failure(code=error.code, what=error.what, why=error.why, fix=error.fix)
    return JSONResponse(said.model_dump(), _STATUS.get(error.exit_code, 422))


def wrong_request(error: RequestValidationError) -> JSONResponse:
    """The answer to a request that does not fit the description."""
    wrong = [
        f"{'.'.join(str(part) for part in one['loc'][1:]) or one['loc'][0]}: {one['msg']}"
        for one in error.errors()
    ]
    return failure(
        UsageError(
            "the request cannot be read",
            why="\n".join(wrong),
            fix="/api/openapi.json tells what it takes",
        )
    )
