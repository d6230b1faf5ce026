"""The web application: pages of NiceGUI on FastAPI."""

from __future__ import annotations

import secrets

from fastapi import FastAPI
from nicegui import ui

from .pages import add_pages
from .source import Source


def make_app(source: Source) -> FastAPI:
    """The application that shows what `source` knows."""
    web = FastAPI(title="evq", docs_url=None, redoc_url=None)
    add_pages(source)
    ui.run_with(
        web,
        title="evq",
        storage_secret=secrets.token_urlsafe(32),
        show_welcome_message=False,
        reconnect_timeout=30,
    )
    return web
