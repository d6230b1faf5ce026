"""The web application: pages of NiceGUI on FastAPI, behind the guard."""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import app, background_tasks, ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from .access.ending import show_out
from .access.guard import Guard
from .api import make_api
from .metrics import metrics_of
from .opening import forget_pages
from .pages import add_pages
from .source import Source


def make_app(source: Source, origins: frozenset[str]) -> ASGIApp:
    """The application that shows what `source` knows; for `origins` see `Guard`."""
    web = FastAPI(title="evq", docs_url=None, redoc_url=None, openapi_url=None)
    web.mount("/api", make_api(source))
    web.add_api_route("/metrics", metrics_of(source), include_in_schema=False)
    add_pages(source)
    app.on_startup(lambda: background_tasks.create(show_out(source.viewers), name="show out"))
    app.on_startup(lambda: background_tasks.create(forget_pages(), name="forget pages"))
    ui.run_with(
        web,
        title="evq",
        storage_secret=source.viewers.secret(),
        show_welcome_message=False,
        reconnect_timeout=30,
        # The guard must read pages; they are packed outside of it.
        gzip_middleware_factory=None,
    )
    return GZipMiddleware(Guard(web, source.viewers, origins), minimum_size=1000)
