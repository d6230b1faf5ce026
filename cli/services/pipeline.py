"""`evq pipeline`: steps that give to each other what they made, run in their order."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import NoReturn

import click

from ...core.sdk.client import Client
from ...core.sdk.sending import send
from ...core.sdk.snapshot import Snapshot
from ...services.pipeline.creating import with_code
from ...services.pipeline.facts import Created
from ...services.pipeline.journals import create, find, open_run, run_of, runs
from ...services.pipeline.reading import read
from ...services.pipeline.run import Run
from .. import output
from ..calling import call, settings
from ..failure import INTERRUPTED
from ..options import Family, json_option, name_argument, reason_option
from ..submit.request import pairs
from ..tasks.render import clock
from .pipeline_again import go_on, stop_run
from .pipeline_start import start
from .pipeline_view import facts, say_plan, say_run, say_runs


@click.group(cls=Family)
def pipeline() -> None:
    """Run steps that wait for each other, each as a task of its own.

    A pipeline is a TOML file, or a Python file with @evq.pipeline; docs/pipelines.md has both.
    NAME is a pipeline, for its last run, or a run as `evq pipeline ls` has it.

    \b
    Examples:
      evq pipeline run
      evq pipeline run flow.py --set lr=0.2
      evq pipeline show digits
      evq pipeline resume digits#3
    """


fresh_option = click.option("--fresh", is_flag=True, help="Take no result of an earlier run.")
code_option = click.option(
    "--code", is_flag=True, help="With the code of this folder as it is now, not that of the run."
)
detach_option = click.option("-d", "--detach", is_flag=True, help="Begin it, and do not follow.")


# --- running --------------------------------------------------------------------------------------


@pipeline.command()
@click.argument("file", default="pipeline.toml", type=click.Path(path_type=Path))
@click.option("--set", "given", multiple=True, metavar="K=V", help="Another value for a parameter.")
@click.option("-q", "--queue", metavar="NAME", help="The queue of steps that name none.")
@click.option("--project", metavar="NAME", help="What it belongs to.  [default: its name]")
@fresh_option
@click.option("--local", is_flag=True, help="Run it here, step after step, without a server.")
@click.option("--dry-run", is_flag=True, help="Draw what would run, and run nothing.")
@detach_option
@json_option
def run(
    file: Path,
    given: tuple[str, ...],
    queue: str | None,
    project: str | None,
    fresh: bool,
    local: bool,
    dry_run: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Run a pipeline with the code around its file, exactly as it is on disk.

    It goes on when this terminal is closed: a controller in the queue `services` carries it
    through. ^C stops the showing. Ends with 0 if the run completed, else with 1.

    \b
    Examples:
      evq pipeline run
      evq pipeline run flow.py --set lr=0.2 -d
      evq pipeline run --local
    """
    definition = read(file, pairs(given, "--set"))
    if dry_run:
        say_plan(definition)
        return
    wanted = queue or settings().queue
    with with_code(definition, file.parent, wanted, project or "", fresh) as (created, code):
        if local:
            _run_here(created, file.parent)
        name = call(lambda client: _begin(client, created, code))
    if as_json:
        output.say_json({"run": name})
    elif detach:
        output.say(name)
    else:
        output.note(f"run {output.bold(name)} of {definition.name}")
        _follow_to_end(name)


async def _begin(client: Client, created: Created, code: Snapshot) -> str:
    await send(client, code)
    journal = await create(client, created)
    await start(client, journal.name)
    return journal.name


def _run_here(created: Created, folder: Path) -> NoReturn:
    from ...services.pipeline.local import Local

    def tell(part: str, what: str) -> None:
        output.note(f"{output.bold(part)} {what}")

    ended = Local(created, folder, tell).run()
    say_run(ended, local=True)
    raise SystemExit(_status(ended))


def _follow_to_end(name: str) -> NoReturn:
    try:
        found = call(lambda client: _follow(client, name))
    except KeyboardInterrupt:
        output.note(f"\ndetached; run {name} goes on")
        output.note(f"  {output.dim('look')} evq pipeline show {name}")
        output.note(f"  {output.dim('stop')} evq pipeline stop {name}")
        raise SystemExit(INTERRUPTED) from None
    say_run(found)
    raise SystemExit(_status(found))


async def _follow(client: Client, name: str) -> Run:
    """Say what is decided about a run until it has ended."""
    journal = await open_run(client, name)
    if run_of(journal).ended:
        return run_of(journal)
    async with aclosing(journal.follow()) as decided:
        async for noted in decided:
            output.note(f"{output.dim(clock(noted.at))} {noted.words}")
            if run_of(journal).ended:
                break
    return run_of(journal)


def _status(ended: Run) -> int:
    return 0 if ended.state == "completed" else 1


# --- looking --------------------------------------------------------------------------------------


@pipeline.command()
@json_option
def ls(as_json: bool) -> None:
    """List the runs there were, the newest last.

    \b
    Examples:
      evq pipeline ls
    """
    found, newer = call(runs)
    if newer:
        output.warn(f"left out is what a newer evq has written: {', '.join(newer)}")
    if as_json:
        output.say_json([facts(one) for one in found])
    elif found:
        say_runs(found)
    else:
        output.note("no pipeline was run yet: evq pipeline run FILE")


@pipeline.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Draw a run: its steps, how far each is, and why it ended as it did.

    \b
    Examples:
      evq pipeline show digits
      evq pipeline show digits#2 --json
    """
    found = call(lambda client: _load(client, name))
    if as_json:
        output.say_json(facts(found))
    else:
        say_run(found)


async def _load(client: Client, selector: str) -> Run:
    return run_of(await find(client, selector))


# --- changing -------------------------------------------------------------------------------------


@pipeline.command()
@name_argument
@code_option
@fresh_option
@detach_option
def resume(name: str, code: bool, fresh: bool, detach: bool) -> None:
    """Go on with a run that has ended, at what failed, was aborted or was skipped.

    What has completed stays as it is, and the steps are what they were: only their code may be
    another, with --code, in the folder where the run was begun.

    \b
    Examples:
      evq pipeline resume digits
      evq pipeline resume digits#3 --code
    """
    _say_again(go_on(name, None, code=code, fresh=fresh), detach)


@pipeline.command()
@name_argument
@click.option("--from", "step", required=True, metavar="STEP", help="The first that runs again.")
@code_option
@detach_option
def rerun(name: str, step: str, code: bool, detach: bool) -> None:
    """Run a step of a run once more, and all that comes after it.

    STEP[2] is one item's part of a step, and what comes after that.

    \b
    Examples:
      evq pipeline rerun digits --from train
      evq pipeline rerun digits#3 --from 'train[2]' --code
    """
    _say_again(go_on(name, step, code=code, fresh=True), detach)


def _say_again(name: str, detach: bool) -> None:
    if detach:
        output.say(name)
    else:
        _follow_to_end(name)


@pipeline.command()
@name_argument
@reason_option
def stop(name: str, reason: str) -> None:
    """End a run: what runs of it is aborted, and nothing more begins.

    \b
    Examples:
      evq pipeline stop digits --reason "wrong data"
    """
    ended = call(lambda client: stop_run(client, name, reason or "stopped by hand"))
    output.say(f"run {ended} ends")
