"""`evq ui`: serve the dashboard."""

from __future__ import annotations

import click

from ..session import settings_with
from ..submit.launch import become


@click.command()
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:4280", help="Where it answers.")
def ui(listen: str) -> None:
    """Serve the dashboard: workers, queues, tasks and SQL in a browser.

    \b
    Examples:
      evq ui
      evq ui --listen 127.0.0.1:8080
    """
    become("evq.projector.web", ["--listen", listen], settings_with())
