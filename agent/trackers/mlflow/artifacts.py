"""Artifacts: files that a task logs lie in its own folder, and go when that goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import StreamingResponse

from . import files
from .refusal import Refusal
from .visit import Handler, Visit

PATH = "/api/2.0/mlflow-artifacts/artifacts"
PIECE = 256 * 1024


async def put(visit: Visit, request: Request) -> Any:
    names = files.parts_of(request.path_params["path"])
    if not names:
        raise Refusal("an artifact has a path")
    with files.opened(visit.folder, [files.FOLDER, *names[:-1]], make=True) as folder:
        upload = files.Upload(folder, names[-1])
        complete = False
        try:
            async for piece in request.stream():
                upload.write(piece)
            complete = True
        finally:
            upload.close(complete=complete)
    return {}


async def get(visit: Visit, request: Request) -> Any:
    names = files.parts_of(request.path_params["path"])
    file, size = files.read(visit.folder, [files.FOLDER, *names])
    return StreamingResponse(
        _pieces(file),
        headers={"content-length": str(size)},
        media_type="application/octet-stream",
    )


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


async def listing(visit: Visit, request: Request) -> Any:
    names = files.parts_of(request.query_params.get("path", ""))
    return {"files": files.listed(visit.folder, [files.FOLDER, *names])}


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", PATH): listing,
    ("PUT", PATH + "/{path:path}"): put,
    ("GET", PATH + "/{path:path}"): get,
}
