"""One module for each page. `add` puts it under its address."""

from __future__ import annotations

from ..source import Source
from . import fleet, task

PAGES = (fleet, task)


def add_pages(source: Source) -> None:
    """Put every page under its address."""
    for page in PAGES:
        page.add(source)
