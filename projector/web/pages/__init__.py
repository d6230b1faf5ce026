"""One module for each page. `add` puts it under its address."""

from __future__ import annotations

from ..source import Source
from . import compare, fleet, services, sql, task, tasks

PAGES = (fleet, tasks, task, compare, services, sql)


def add_pages(source: Source) -> None:
    """Put every page under its address."""
    for page in PAGES:
        page.add(source)
