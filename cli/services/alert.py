"""`evq alert`: where messages go."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from ...core import units
from ...core.errors import Conflict, EvqError, UsageError
from ...core.ids import check_name
from ...core.sdk.author import now
from ...core.spec import secret_names
from ...services.alert.facts import Defined, Fact, Removed, Sent, State, Told, Undelivered
from .. import output
from ..calling import call, settings
from ..options import Family, json_option, name_argument, reason_option
from ..output import Column
from .listing import say_all
from .served import warn_if_secret_lacks

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.services import Service


TEST_SECONDS = 60.0
"""How long `evq alert test` waits: an agent may have to start the controller first."""


@click.group(cls=Family)
def alert() -> None:
    """Send messages to Slack, e-mail, webhooks and all else that Apprise reaches.

    Where to is an address of Apprise's, which is a secret of the agent for services: only its name
    is stored. Triggers tell alerts what to send; what comes too fast is sent as one message.

    \b
    Examples:
      evq alert add team --secret TEAM_SLACK
      evq alert test team
      evq trigger add broken --on failed --alert team
    """


@alert.command()
@name_argument
@click.option("--secret", required=True, metavar="NAME", help="The secret that is the address.")
@click.option(
    "--digest",
    default="5/5m",
    metavar="N/TIME",
    help="Send N messages in that time at most, and the others as one.  [5/5m]",
)
@click.option("--dashboard", metavar="URL", help="What to link to.  [that of evq up here]")
def add(name: str, secret: str, digest: str, dashboard: str | None) -> None:
    """Make an alert.

    \b
    Examples:
      EVQ_SECRET_TEAM_SLACK=slack://… evq up -d      # or in the agent's secrets file
      evq alert add team --secret TEAM_SLACK
    """
    check_name(name, "alert")
    secret_names((secret,))
    most, seconds = _read_digest(digest)
    definition = Defined(
        secret=secret, most=most, seconds=seconds, dashboard=dashboard or _dashboard()
    )
    controller = call(lambda client: _define(client, name, definition))
    output.say(f"alert {output.bold(name)}  to the address in the secret {secret}")
    output.note(f"  {output.dim('try')}   evq alert test {name}")
    output.note(f"  {output.dim('undo')}  evq alert remove {name}")
    call(lambda client: warn_if_secret_lacks(client, controller))


def _read_digest(written: str) -> tuple[int, float]:
    most, _, time = written.partition("/")
    if not most.isdigit() or int(most) < 1 or not time:
        raise UsageError(
            f"--digest {written} says not how many messages in which time",
            fix="--digest 5/5m",
        )
    return int(most), units.seconds(time)


def _dashboard() -> str:
    """The address of the dashboard that `evq up` serves here, without its token; empty if none."""
    from pathlib import Path

    from ...core.sdk.running import up

    found = up(Path(settings().store))
    return found.ui if found else ""


async def _define(client: Client, name: str, definition: Defined) -> Service:
    from ...services.alert.controller import open_journal, start

    journal = open_journal(client, name)
    await journal.load()

    def choose(state: State) -> tuple[Fact, str]:
        if state.definition:
            raise Conflict(
                f"there is an alert {name} already",
                why=f"it goes to the address in the secret {state.definition.secret}",
                fix=f"evq alert remove {name}",
            )
        return definition, f"is defined: to the address in the secret {definition.secret}"

    await journal.decide(choose)
    return await start(client, name, definition.secret)


@alert.command()
@name_argument
@click.argument("text", default="This is a test.")
def test(name: str, text: str) -> None:
    """Send a message, and wait until it was taken."""
    if why := call(lambda client: _test(client, name, text)):
        raise EvqError(f"alert {name} did not deliver it", why=why, fix="evq alert ls")
    output.say(f"alert {name} has delivered it")


async def _test(client: Client, name: str, text: str) -> str:
    """Why a message was not delivered; empty if it was."""
    from ...services.alert.controller import load_journal, start, tell

    journal = await load_journal(client, name)
    assert journal.state.definition is not None
    service = await start(client, name, journal.state.definition.secret)
    key = f"test-{now()}"
    await tell(client, name, Told(key=key, title="evq", body=text))
    try:
        async with asyncio.timeout(TEST_SECONDS), aclosing(journal.follow()) as noted:
            async for one in noted:
                match one.fact:
                    case Sent(keys) if key in keys:
                        return ""
                    case Undelivered(keys, why) if key in keys:
                        return why
                    case _:
                        pass
    except TimeoutError:
        pass
    task = (await client.get(service.task.id)).name_of_state
    return f"nothing was heard for {TEST_SECONDS:g} s; its task {service.task.id} is {task}"


@alert.command()
@json_option
def ls(as_json: bool) -> None:
    """List the alerts."""
    from ...services.alert.controller import all_alerts

    columns = [Column("NAME"), Column("SECRET"), Column("SENT", right=True)]
    columns += [Column("FAILED", right=True), Column("WAITING", right=True)]
    columns += [Column("LAST", soft=True)]
    none = "there are no alerts; evq alert add --help"
    say_all(call(all_alerts), as_json, _document, columns, _row, none)


def _row(name: str, state: State) -> list[object]:
    assert state.definition is not None
    waiting = len(state.waiting) + len(state.sending)
    secret = state.definition.secret
    return [name, secret, state.sent, state.undelivered, waiting, state.words]


def _document(name: str, state: State) -> dict[str, Any]:
    definition = state.definition
    assert definition is not None
    return {
        "name": name,
        "secret": definition.secret,
        "most": definition.most,
        "seconds": definition.seconds,
        "dashboard": definition.dashboard,
        "sent": state.sent,
        "undelivered": state.undelivered,
        "waiting": len(state.waiting) + len(state.sending),
        "words": state.words,
    }


@alert.command()
@name_argument
@reason_option
def remove(name: str, reason: str) -> None:
    """Take an alert away; what waits is not sent."""
    call(lambda client: _remove(client, name, reason or "evq alert remove"))
    output.say(f"alert {name} is removed")


async def _remove(client: Client, name: str, reason: str) -> None:
    from ...core.sdk.services import ended, service
    from ...services.alert.controller import SERVICE, load_journal

    journal = await load_journal(client, name)
    await journal.decide(lambda _: (Removed(reason), "is removed"))
    # So that one of the same name can be made at once: a controller that was told goes by itself.
    await ended(client, await service(client, SERVICE, name), reason)
