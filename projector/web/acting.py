"""In whose name a page acts."""

from __future__ import annotations

from ...core.sdk.author import Author
from ...core.sdk.client import Client
from .source import Source


def actor_client(source: Source) -> Client:
    """A client that writes events in the name of the user who looks at this page."""
    return Client(source.client.bus, Author(source.client.author.by))
