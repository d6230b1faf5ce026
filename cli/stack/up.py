"""`evq up`, `evq down`, `evq status`: all of evq on one machine, from one command."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

# Only what is light: this module is loaded to print the help.
from ...core.errors import Conflict, EvqError
from .ui import link

if TYPE_CHECKING:
    from ...core.configuration import Configuration
    from ...core.sdk.running import Up
    from .serve import Plan
    from .store import Store

_DOWN_SECONDS = 60.0

store_option = click.option(
    "--store", metavar="DIR", help="The folder to keep everything in, instead of the setting's."
)


@click.command()
@click.option("-d", "--detach", is_flag=True, help="Return as soon as all is up.")
@click.option("--listen", metavar="HOST:PORT", help="Where the server listens; port 0 is any.")
@store_option
@click.option("--queues", metavar="A,B", help="What the agent serves, the most urgent first.")
@click.option(
    "--order",
    type=click.Choice(["strict", "round-robin"]),
    default="strict",
    help="All of the first queue first, or one of each in turn.",
)
@click.option("--slots", type=click.IntRange(min=1), help="How many tasks run at a time.")
@click.option("--no-agent", is_flag=True, help="Run no tasks on this machine.")
@click.option("--no-services", is_flag=True, help="Run no light tasks of the queue services.")
@click.option("--no-projector", is_flag=True, help="Answer no questions from this machine.")
@click.option("--no-ui", is_flag=True, help="Serve no dashboard.")
@click.option("--sync", metavar="WHEN", help="always, or how often the log is forced to disk.")
@click.option("--tls-cert", metavar="FILE", help="The server's certificate.")
@click.option("--tls-key", metavar="FILE", help="The key of the certificate.")
@click.option("--tls-ca", metavar="FILE", help="Who signed the certificate.")
@click.option("--ready-fd", type=int, hidden=True)
def up(detach: bool, store: str | None, ready_fd: int | None, **options: Any) -> None:
    """Run a NATS server, a projector, an agent, one for services and the dashboard until ^C.

    The agent for services runs the light tasks of that queue, such as monitors, many at once. A
    process that crashes is started again. ^C (or SIGTERM) ends all in order: the agents give their
    tasks some seconds to end, a second ^C does not wait for them.
    """
    from . import serve
    from .store import Store as StoreFolder

    plan = _plan(store, **options)
    if detach:
        running = serve.detach(_arguments(plan), StoreFolder(plan.store), _say)
        click.echo(_summary(running, plan.store))
        return
    if ready_fd is None:
        serve.serve(plan, ready=lambda up: _say(_summary(up, plan.store)), say=_say)
        return
    try:
        serve.serve(plan, ready=lambda up: serve.report(ready_fd, up))
    except EvqError as error:
        serve.report(ready_fd, error)
        raise SystemExit(error.exit_code) from error


def _plan(
    store: str | None,
    *,
    listen: str | None,
    queues: str | None,
    order: str,
    slots: int | None,
    no_agent: bool,
    no_services: bool,
    no_projector: bool,
    no_ui: bool,
    sync: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    tls_ca: str | None,
) -> Plan:
    from ...core.ids import check_name
    from ..calling import configuration_with
    from . import embedded
    from .serve import Plan

    configuration = configuration_with(store=store, sync=sync)
    settings = configuration.settings
    chosen_state = configuration.origins["state_dir"].kind != "default"
    named = [name.strip() for name in (queues or settings.queue).split(",")]
    return Plan(
        store=Path(settings.store),
        listen=embedded.parse_listen(listen) if listen else None,
        tls=embedded.read_tls(tls_cert, tls_key, tls_ca),
        sync=settings.sync,
        nats_server=settings.nats_server,
        projector=not no_projector,
        agent=not no_agent,
        services=not no_services,
        ui=not no_ui,
        queues=tuple(check_name(name, "queue") for name in named),
        order=order,
        slots=slots,
        grace=settings.grace,
        state_dir=Path(settings.state_dir) if chosen_state else None,
    )


def _arguments(plan: Plan) -> list[str]:
    """The command line that brings up the same plan."""
    given = {
        "--store": str(plan.store),
        "--listen": str(plan.listen) if plan.listen else None,
        "--queues": ",".join(plan.queues),
        "--order": plan.order,
        "--slots": None if plan.slots is None else str(plan.slots),
        "--sync": plan.sync if isinstance(plan.sync, str) else f"{plan.sync:g}s",
        "--tls-cert": plan.tls and plan.tls.cert,
        "--tls-key": plan.tls and plan.tls.key,
        "--tls-ca": plan.tls and plan.tls.ca,
    }
    flags = {
        "--no-agent": not plan.agent,
        "--no-services": not plan.services,
        "--no-projector": not plan.projector,
        "--no-ui": not plan.ui,
    }
    pairs = [word for name, value in given.items() if value for word in (name, value)]
    return pairs + [name for name, wanted in flags.items() if wanted]


def _say(line: str) -> None:
    click.echo(line, err=True)


def _summary(up: Up, store: Path) -> str:
    lines = [f"evq {up.version} is up: {up.url}", f"  store  {store}"]
    if up.ui:
        lines.append(f"  ui     {link(up.ui, store)}")
    return "\n".join([*lines, "  stop   evq down"])


@click.command()
@store_option
def down(store: str | None) -> None:
    """End what `evq up` runs; what is stored stays.

    Exits with 0 also if nothing was up. Called a second time while the first one waits, it makes
    the one that is waited for end at once.
    """
    import signal

    from ..calling import settings_with
    from .store import Store

    settings = settings_with(store=store)
    served = Store(Path(settings.store))
    holder = served.holder()
    if holder is None:
        click.echo(f"nothing is up in {served.path}")
        return
    holder.signal(signal.SIGTERM)
    patience = _DOWN_SECONDS + settings.grace
    if not holder.wait(patience):
        raise Conflict(
            f"evq up in {served.path} has not ended yet",
            why=f"process {holder.pid} was told to end {patience:.0f} s ago",
            fix=f"evq down --store {served.path}, again; logs are in {served.logs}",
        )
    click.echo(f"evq is down; {served.path} keeps what was stored")


@click.command()
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(store: str | None, as_json: bool) -> None:
    """Say which server is in use, whether it answers, and what runs here.

    Exits with 3 if no server answers.
    """
    from ..calling import configuration_with
    from .store import Store

    configuration = configuration_with(store=store)
    facts = _facts(configuration, Store(Path(configuration.settings.store)))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(facts).decode())
    else:
        click.echo("\n".join(_lines(facts)))
    raise SystemExit(0 if facts["answers"] else 3)


def _facts(configuration: Configuration, store: Store) -> dict[str, Any]:
    """What `evq status --json` prints. `durable` is null if only the server's operator knows."""
    from ...core.configuration import shown

    settings, server = configuration.settings, configuration.settings.server
    up = store.up()
    ours = up is not None and server == up.url
    info = _info(settings.servers)
    return {
        "server": shown("server", server) or None,
        "origin": str(configuration.origins["server"]) if server else None,
        "answers": info is not None,
        "nats_version": info and info.get("version"),
        "durable": up.sync == "always" if up and ours else None,
        "sync": up.sync if up and ours else None,
        "store": str(store.path),
        "store_bytes": store.size(),
        "version": up and up.version,
        "started_at": up and up.started_at,
        "processes": _processes(up),
        "ui": up.ui if up else "",
        "why": "" if up else _why_not(store),
    }


def _processes(up: Up | None) -> list[dict[str, Any]]:
    if up is None:
        return []
    return [
        {
            "name": one.name,
            "state": one.state,
            "pid": one.process and one.process.pid,
            "seconds": round(max(0.0, time.time() - one.since), 1),
            "restarts": one.restarts,
            "last_exit": one.last_exit,
        }
        for one in up.processes
    ]


def _info(servers: Sequence[str]) -> Any:
    """What the first of `servers` that answers says of itself, or `None`."""
    import asyncio
    from urllib.parse import urlsplit

    from .embedded import USUAL_PORT, Door, greeting

    for address in map(urlsplit, servers):
        door = Door(address.hostname or "", address.port or USUAL_PORT)
        if info := asyncio.run(greeting(door, login=False)):
            return info
    return None


def _why_not(store: Store) -> str:
    if holder := store.holder():
        return f"evq up (process {holder.pid}) is starting or stopping"
    if store.left_behind():
        return "evq up was killed; evq up again heals what it left"
    return "evq up was not started here" if not store.path.exists() else "evq up has ended"


def _lines(facts: dict[str, Any]) -> list[str]:
    from ...core.units import duration_text, size_text

    state = f"answers, nats-server {facts['nats_version']}" if facts["answers"] else "no answer"
    server = f"{facts['server']} ({facts['origin']}): {state}" if facts["server"] else "none"
    durable = {
        True: "yes, every event is on the disk before it is acknowledged",
        False: f"no, a power cut loses up to {facts['sync']} of events",
        None: "not known from here",
    }[facts["durable"]]
    lines = [
        f"server   {server}",
        f"durable  {durable}",
        f"store    {facts['store']} ({size_text(facts['store_bytes'])})",
    ]
    for one in facts["processes"]:
        pid = f"pid {one['pid']}" if one["pid"] else f"last exit {one['last_exit']}"
        again = f", restarted {one['restarts']} times" if one["restarts"] else ""
        since = duration_text(float(int(one["seconds"])))
        lines.append(f"  {one['name']:<12} {one['state']:<9} {pid}, {since}{again}")
    if facts["ui"]:
        lines.append(f"ui       {facts['ui']} (evq ui --link has the link that opens it)")
    return lines + ([f"not up   {facts['why']}"] if facts["why"] else [])


if __name__ == "__main__":
    up()
