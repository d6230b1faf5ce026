"""`evq session`: Jupyter or a terminal on a worker, reached from here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core import units
from ...core.errors import Conflict, TunnelFailed
from ...core.sdk.sending import with_code
from ...core.sdk.sessions.session import TAG, Kind, Session, session_of, session_spec
from ...core.sdk.snapshot import Snapshot
from ...core.spec import Command, Spec, check_spec
from ...core.state import Ended, Task
from .. import output
from ..calling import call, settings, warm_up
from ..completion import complete_task
from ..failure import INTERRUPTED
from ..options import Family, json_option
from ..output import Column
from ..selectors import resolve
from ..submit.enqueue import submit, warn_of_code, warn_of_dependency, warn_of_queue
from ..submit.request import make_spec
from ..submit.wish import Wish, how_options
from ..tasks.render import age, colored, marked, timestamp
from ..tasks.statusline import StatusLine
from .holding import Listen, held, listen_option, look, open_option, tell_trouble
from .ready import answers, until_running
from .terminal import visit

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.tunnels.tunnel import Tunnel

KIND = "session"

END_SECONDS = 10.0
"""How long a session may take to end behind its terminals: it saves what was changed."""


class _Sessions(Family):
    """`evq session --queue gpu` is `evq session start --queue gpu`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not {*self.commands, *ctx.help_option_names} & set(args):
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Sessions)
def session() -> None:
    """Work by hand on a worker: with JupyterLab in your browser, or a shell in this terminal.

    A session is a task: it has your code as it is now, an environment, an image, GPUs, limits, and
    it waits in a queue. Its worker needs no open port, and you no login there: everything goes
    through the NATS server. It ends when nobody has used it for a while, and what was changed in
    its folder is its artifact `changes` then.

    \b
    Examples:
      evq session -q gpu --gpus 1 --open
      evq session -q gpu --docker pytorch/pytorch --terminal
      evq session ls
    """


end_option = click.option(
    "--end", "end_it", is_flag=True, help="End the session when this command ends."
)


@session.command()
@click.option("--terminal", is_flag=True, help="A shell in this terminal instead of Jupyter.")
@click.option("--idle", default="30m", metavar="TIME", help="End it after so long unused.  [30m]")
@listen_option
@open_option
@end_option
@click.option("--detach", "-d", is_flag=True, help="Enqueue it, and do not wait for it.")
@json_option
@how_options
def start(
    terminal: bool,
    idle: str,
    listen: Listen,
    browse: bool,
    end_it: bool,
    detach: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Start a session, wait until it is there, and print the link.

    `evq session` with options is the same. ^C ends the waiting, or the tunnel, and not the session:
    `evq session connect` goes on with it. 0 as --idle lets it run until it is stopped.

    \b
    Examples:
      evq session -q gpu --gpus 1 --open
      evq session -r requirements.txt --terminal
    """
    warm_up()
    wish = Wish(script=(), module=None, inline=None, **options)
    # What stands for the command is replaced at once; the name is not made of it.
    draft = make_spec(wish, Command((KIND,)), settings().queue)
    kind: Kind = "terminal" if terminal else "jupyter"
    seconds = 0.0 if idle == "0" else units.seconds(idle)
    draft = check_spec(session_spec(draft, kind, seconds))
    with with_code(draft, Path.cwd(), include=wish.include, code=not wish.no_code) as found:
        spec, snapshot = found
        task = call(lambda client: _enqueue(client, spec, snapshot, wish, as_json))
    if not detach:
        _work(task, listen, browse, end_it, as_json)
    elif as_json:
        output.say_json({"task": task})
    else:
        _tell_how_to_go_on(task)


async def _enqueue(
    client: Client, spec: Spec, snapshot: Snapshot | None, wish: Wish, as_json: bool
) -> str:
    done = await submit(client, spec, snapshot, wish)
    task = done.receipt.task
    if not as_json:
        output.note(f"session {output.bold(task)} on queue {spec.queue}")
    if snapshot:
        warn_of_code(snapshot)
    warn_of_queue(done)
    warn_of_dependency(done)
    return task


@session.command()
@click.argument("task", default="@", shell_complete=complete_task)
@listen_option
@open_option
@end_option
@json_option
def connect(task: str, listen: Listen, browse: bool, end_it: bool, as_json: bool) -> None:
    """Go on with a session, from this machine or another one."""
    known = call(lambda client: _session(client, task))
    _work(known.id, listen, browse, end_it, as_json)


async def _session(client: Client, selector: str) -> Task:
    task = await client.get(await resolve(client, selector))
    session_of(task)
    return task


@session.command()
@click.argument("task", default="@", shell_complete=complete_task)
def stop(task: str) -> None:
    """End a session. What was changed in its folder is saved as its artifact `changes`."""

    async def work(client: Client) -> Task:
        known = await _session(client, task)
        return await client.abort(known.id, "the session was stopped")

    ended = call(work)
    output.say(f"session {ended.id} ends")


@session.command("ls")
@json_option
def ls(as_json: bool) -> None:
    """List the sessions that wait or run."""
    states = ("held", "queued", "claimed", "running")

    async def work(client: Client) -> list[dict[str, Any]]:
        rows = await client.tasks(states=states, limit=1_000)
        return [row for row in rows if TAG in (row["tags"] or ())]

    rows = call(work)
    if as_json:
        for row in rows:
            output.say_json(row)
        return
    if not rows:
        output.note("no sessions; evq session -q QUEUE starts one")
        return
    columns = [
        Column("ID"),
        Column("STATE", style=colored),
        Column("NAME", soft=True),
        Column("QUEUE"),
        Column("AGENT"),
        Column("USER"),
        Column("AGE", right=True),
    ]
    output.say_table(
        columns,
        [
            [
                row["task"],
                marked(row["state"]),
                row["name"],
                row["queue"],
                row["agent"],
                row["user"],
                age(timestamp(row["enqueued"])),
            ]
            for row in rows
        ],
    )


# --- at work --------------------------------------------------------------------------------------


def _work(task: str, listen: Listen, browse: bool, end_it: bool, as_json: bool) -> None:
    """Reach a session and stay with it, until it or the user ends that."""
    status = None
    try:
        status = call(lambda client: _reach(client, task, listen, browse, as_json))
    except KeyboardInterrupt:
        status = INTERRUPTED
    if end_it:
        call(lambda client: _end(client, task))
    else:
        _tell_how_to_go_on(task)
    if status:
        raise SystemExit(status)


async def _reach(client: Client, task: str, listen: Listen, browse: bool, as_json: bool) -> int:
    line = StatusLine()
    try:
        known = await until_running(client, task, line)
        found = session_of(known)
        async with held(client, task, found.port, listen) as there:
            await answers(client, there, found, line)
            tell_trouble(there)
            line.clear()
            if found.kind == "terminal":
                return await _be_in_terminal(client, there)
            return await _show_jupyter(client, there, found, browse, as_json)
    finally:
        line.clear()


async def _be_in_terminal(client: Client, there: Tunnel) -> int:
    """The exit status of a shell; 0 if it ended with its session."""
    try:
        return await visit(there)
    except TunnelFailed:
        try:
            await client.wait(there.task, timeout=END_SECONDS)
        except TimeoutError:
            pass
        else:
            return 0
        raise


async def _show_jupyter(
    client: Client, there: Tunnel, found: Session, browse: bool, as_json: bool
) -> int:
    link = f"{there.url}lab?token={there.token}"
    if as_json:
        output.say_json({"task": there.task, "url": link})
    else:
        output.say(link)
        idle = f"; it ends after {units.duration_text(found.idle)} unused" if found.idle else ""
        output.note(output.dim(f"  ^C closes the tunnel, not the session{idle}"))
    if browse:
        look(link)
    await client.wait(there.task)
    return 0


async def _end(client: Client, task: str) -> None:
    try:
        await client.abort(task, "the session was stopped")
    except Conflict:
        return  # it has ended by itself


def _tell_how_to_go_on(task: str) -> None:
    known = call(lambda client: client.get(task))
    if isinstance(known.state, Ended):
        why = known.state.outputs.get("ended") or known.state.evidence
        output.note(f"session {task} is {known.name_of_state}" + (f": {why}" if why else ""))
        return
    output.note(f"session {task} goes on")
    output.note(f"  {output.dim('again')} evq session connect {task}")
    output.note(f"  {output.dim('end')}   evq session stop {task}")
