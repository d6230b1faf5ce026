"""`evq demo`: everything at work once, on this machine, in under a minute."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import output

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from .demo_view import View

QUEUES = ("blue", "green")
LEARNING_RATES = (0.03, 0.1, 0.3)
WIDTHS = (8, 32)
SLOTS = 2

BEST = """
select t.name, t.queue, t.params->>'lr' as lr, t.params->>'width' as width,
       m.value as loss, round(t.run_seconds, 1) as seconds
from tasks t join metric_latest m using (task)
where m.name = 'loss' and t.state = 'completed'
order by loss
limit 3
""".strip()


@click.command()
@click.option("--keep", is_flag=True, help="Leave evq running, with what was stored.")
def demo(keep: bool) -> None:
    """Train a small grid of neural networks on an evq of its own.

    Starts a server, a projector and an agent with two slots in a folder of their own, enqueues
    twelve tasks in two queues, shows them run, and asks in SQL which was best. Nothing is left
    running, unless you say --keep.

    \b
    Example:
      evq demo
    """
    began = time.monotonic()
    with _everything_up(keep) as store:
        asyncio.run(_show(store))
    output.note()
    output.note(f"That took {time.monotonic() - began:.0f} s. " + _afterwards(keep))
    output.note(_NEXT)


_NEXT = """
Try next
  evq up -d                                 a server, projector and agent for your own work
  evq run examples/train.py -- --lr 0.3     your script with your uncommitted changes, live
  evq ls · evq show @ · evq why @           what there is, how it went, why it waits
  evq sql "select state, count(*) from tasks group by all"
"""


def _afterwards(keep: bool) -> str:
    if keep:
        return f"evq is still up; `evq down --store {_folder()}` ends it."
    return "Nothing is left running."


def _folder() -> Path:
    from ..calling import settings

    return Path(settings().store).with_name("demo")


@contextmanager
def _everything_up(keep: bool) -> Iterator[Path]:
    """An evq of the demo's own, in an empty folder, for as long as the block runs."""
    import shutil

    from . import serve
    from .store import Store

    folder = _folder()
    store = Store(folder)
    holder = store.holder()
    if holder is None:
        # The store is the demo's own, and its tasks are of no more use; caches lie elsewhere.
        shutil.rmtree(folder, ignore_errors=True)
    arguments = ["--store", str(folder), "--listen", "127.0.0.1:0", "--order", "round-robin"]
    arguments += ["--queues", ",".join(QUEUES), "--slots", str(SLOTS)]
    arguments += [] if keep else ["--no-ui"]
    began = time.monotonic()
    up = store.up() if holder else serve.detach(arguments, store, output.note)
    if up is None:
        raise click.ClickException(f"the evq in {folder} is neither up nor down; evq down --store")
    seconds = time.monotonic() - began
    output.note(f"evq is up at {up.url}: server, projector, agent ({seconds:.1f} s)")
    try:
        yield folder
    finally:
        if not keep:
            _take_down(store)


def _take_down(store: Any) -> None:
    import signal

    holder = store.holder()
    if holder:
        holder.signal(signal.SIGTERM)
        holder.wait(60)


async def _show(store: Path) -> None:
    from ...core.bus.connect import Login
    from ...core.sdk.connect import open_client
    from .store import Store

    up = Store(store).up()
    assert up is not None
    async with open_client(Login(server=up.url, token=up.token, ca=up.ca)) as client:
        await client.bus.prepare()
        start = await client.bus.log.last_seq() + 1
        said = await client.bus.telemetry.last_seq() + 1
        names = await _enqueue(client)
        view = await _watch(client, start, said, names)
        await _tell_best(client, view)


async def _enqueue(client: Client) -> dict[str, str]:
    """Enqueue the grid; the tasks' names by their ids."""
    from ...core.sdk.sending import send
    from ...core.sdk.snapshot import take
    from ...core.spec import Script, Spec

    specs = []
    with _script_alone() as script, take(script.parent, script) as snapshot:
        await send(client, snapshot)
        for number, (lr, width) in enumerate(itertools.product(LEARNING_RATES, WIDTHS)):
            for seed, queue in enumerate(QUEUES):
                arguments = ("--lr", str(lr), "--width", str(width), "--seed", str(seed))
                spec = Spec(
                    entry=Script(script.name, arguments),
                    name=f"spiral-{number}-{seed}",
                    queue=queue,
                    code=snapshot.code,
                    manager="uv",
                    params={"lr": str(lr), "width": str(width), "seed": str(seed)},
                    tags=("demo",),
                )
                specs.append(spec)
    receipts = await client.enqueue_many(specs)
    output.note(
        f"enqueued {len(specs)} tasks in the queues {' and '.join(QUEUES)}, round robin;"
        " the first one builds an environment with numpy"
    )
    return {receipt.task: spec.name for receipt, spec in zip(receipts, specs, strict=True)}


@contextmanager
def _script_alone() -> Iterator[Path]:
    """A copy of the example outside of any repository, so that it travels alone."""
    import shutil
    import tempfile

    example = Path(__file__).resolve().parents[2] / "examples" / "train.py"
    with tempfile.TemporaryDirectory(prefix="evq-demo-") as folder:
        yield Path(shutil.copy(example, folder))


async def _watch(client: Client, start: int, said: int, names: dict[str, str]) -> View:
    """Show the tasks until all have ended."""
    from .demo_view import View

    view = View(names, live=sys.stderr.isatty())
    with view:
        async with (
            client.bus.log.follow(start, ["evq.q.>", "evq.t.>"]) as events,
            client.bus.telemetry.follow(said) as words,
        ):

            async def listen() -> None:
                async for batch in words:
                    view.heard(batch)

            listening = asyncio.ensure_future(listen())
            async for batch in events:
                view.happened(batch)
                if view.over:
                    break
            listening.cancel()
    return view


async def _tell_best(client: Client, view: View) -> None:
    from ...core.questions import Sql

    rows = [row async for row in client.rows(Sql(BEST))]
    output.note()
    output.note(view.summary())
    output.note(output.dim("\n".join("  " + line for line in BEST.splitlines())))
    columns = [output.Column(name, right=name != "name") for name in (rows[0] if rows else {})]
    output.say_table(columns, [[_shown(value) for value in row.values()] for row in rows])


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
