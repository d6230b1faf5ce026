"""`evq ui`: serve the dashboard, and say who may look at it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ...core.errors import NotFound
from ...core.listening import DASHBOARD_PORT
from .. import output
from ..options import json_option

if TYPE_CHECKING:
    from ...core.sdk.viewers import Viewers

_ROLES = ("viewer", "operator", "admin")


def link(url: str, store: Path) -> str:
    """The dashboard's address with the token of whoever may read the store."""
    from ...core.sdk.viewers import Viewers

    return f"{url}/?token={Viewers(store).local_token()}"


@click.group(invoke_without_command=True)
@click.option(
    "--listen", metavar="HOST:PORT", default=f"127.0.0.1:{DASHBOARD_PORT}", help="Where it answers."
)
@click.option("--tls-cert", metavar="FILE", help="The certificate of https.")
@click.option("--tls-key", metavar="FILE", help="The key of the certificate.")
@click.option(
    "--public-url",
    metavar="URL",
    multiple=True,
    help="Another address that leads here, by a proxy.",
)
@click.option("--link", "only_link", is_flag=True, help="Print the link to the one that runs.")
@click.option("--open", "to_open", is_flag=True, help="Open the one that runs in a browser.")
@click.pass_context
def ui(
    ctx: click.Context,
    listen: str,
    tls_cert: str | None,
    tls_key: str | None,
    public_url: tuple[str, ...],
    only_link: bool,
    to_open: bool,
) -> None:
    """Serve the dashboard: workers, queues, tasks and SQL in a browser.

    `evq up` runs one already. Whoever has the link it prints may do everything; others get users
    of their own. Beyond this machine it takes named users and TLS.

    \b
    Examples:
      evq ui --link
      evq ui user add ada --role operator
      evq ui --listen 0.0.0.0:4280 --tls-cert ui.pem --tls-key ui.key
    """
    if ctx.invoked_subcommand:
        return
    from ..calling import settings_with
    from ..submit.launch import become

    known = settings_with()
    if only_link or to_open:
        found = link(_address(Path(known.store)), Path(known.store))
        click.echo(found)
        if to_open:
            click.launch(found)
        return
    arguments = ["--listen", listen, "--store", known.store]
    arguments += ["--tls-cert", tls_cert] if tls_cert else []
    arguments += ["--tls-key", tls_key] if tls_key else []
    for url in public_url:
        arguments += ["--public-url", url]
    become("evq.projector.web", arguments, known)


def _address(store: Path) -> str:
    """Where this store's dashboard answers. Raises `NotFound`."""
    from ...core.sdk.viewers import Viewers

    try:
        url = Viewers(store).address()
        parts = urlsplit(url)
        socket.create_connection((parts.hostname or "", parts.port or 443), timeout=2).close()
    except OSError as error:
        raise NotFound(
            f"no dashboard answers for {store}", why=str(error), fix="evq up -d, or evq ui"
        ) from error
    return url


@ui.group()
def user() -> None:
    """Who may look at the dashboard: users with a token and a role each."""


@user.command()
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), default="viewer", help="What they may do.")
def add(name: str, role: str) -> None:
    """Make a user, and print its token: once, for it is kept nowhere.

    A viewer looks at everything and asks in SQL. An operator also works with tasks, queues and
    agents. An admin may do everything.
    """
    from ...core.sdk.viewers import Role

    click.echo(_viewers().add(name, Role(role)))
    click.echo(f"{name} opens the dashboard with this token, as {role}", err=True)


@user.command()
@click.argument("name")
def remove(name: str) -> None:
    """Let a user's token be worth nothing from now on."""
    _viewers().remove(name)
    click.echo(f"the token of {name} is worth nothing now")


@user.command("list")
@json_option
def list_users(as_json: bool) -> None:
    """The users that were made."""
    named = _viewers().named()
    if as_json:
        output.say_json([{"name": one.name, "role": one.role.value} for one in named])
        return
    for one in named:
        click.echo(f"{one.name:<20} {one.role.value}")


def _viewers() -> Viewers:
    from ...core.sdk.viewers import Viewers
    from ..calling import settings

    return Viewers(Path(settings().store))
