"""In whose name a page acts, and whether they may."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from ...core.errors import Denied
from ...core.sdk.author import Author
from ...core.sdk.client import Client
from ...core.sdk.viewers import Role, Viewer
from .source import Source


def viewer(source: Source) -> Viewer:
    """Who looks at the page whose handler runs now. Raises `Denied` if the token is void by now."""
    return viewer_of(source, ui.context.client.request)


def viewer_of(source: Source, request: Request) -> Viewer:
    """Who made a request that the guard let in. Raises `Denied` if the token is void by now."""
    known = source.viewers.by_fingerprint(request.state.fingerprint)
    if known is None:
        raise Denied("your token is not valid any more", fix="ask an admin of this dashboard")
    return known


def may(source: Source, needed: Role = Role.OPERATOR) -> bool:
    """Whether the user's role covers `needed`: what is not allowed is not offered."""
    return viewer(source).role.covers(needed)


def actor_client(source: Source, needed: Role = Role.OPERATOR) -> Client:
    """A client that writes events in the name of the user who looks at this page.

    Raises `Denied` if the user's role does not cover `needed`.
    """
    return client_of(source, viewer(source), needed)


def client_of(source: Source, user: Viewer, needed: Role) -> Client:
    """A client that writes events in the name of `user`. Raises `Denied`."""
    if not user.role.covers(needed):
        raise Denied(
            f"a {user.role.value} may not do this",
            why=f"it takes the role {needed.value}",
            fix="ask an admin of this dashboard",
        )
    return Client(source.client.bus, Author(user.name))
