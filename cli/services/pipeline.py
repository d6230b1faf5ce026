"""`evq pipeline`: steps that give to each other what they made, run in their order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ...core.errors import Conflict, NotFound, UsageError
from .. import output
from ..failure import INTERRUPTED
from ..options import Family, json_option, reason_option
from ..output import Column
from ..session import call, settings, warm_up
from ..submit.request import pairs
from ..submit.sending import send
from ..tasks.render import age, clock, colored, iso, span

if TYPE_CHECKING:
    from ...core.sdk.client import Client
    from ...core.sdk.snapshot import Snapshot
    from ...services.pipeline.definition import Definition
    from ...services.pipeline.facts import Created, Fact
    from ...services.pipeline.run import Run


@click.group(cls=Family)
def pipeline() -> None:
    """Run steps that wait for each other, each as a task of its own.

    A pipeline is a TOML file, or a Python file with @evq.pipeline; docs/pipelines.md has both.
    NAME is a pipeline, for its last run, or a run as in `evq pipeline ls`.

    \b
    Examples:
      evq pipeline run
      evq pipeline run flow.py --set lr=0.2
      evq pipeline show mnist
      evq pipeline resume mnist#3
    """


name_argument = click.argument("name")
set_option = click.option(
    "--set", "given", multiple=True, metavar="K=V", help="Another value for a parameter."
)
fresh_option = click.option("--fresh", is_flag=True, help="Take no result of an earlier run.")
detach_option = click.option("-d", "--detach", is_flag=True, help="Begin it, and do not follow.")


@pipeline.command()
@click.argument("file", default="pipeline.toml", type=click.Path(path_type=Path))
@set_option
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
    from ...services.pipeline.creating import with_code
    from ...services.pipeline.reading import read

    definition = read(file, pairs(given, "--set"))
    if dry_run:
        _draw_plan(definition)
        return
    warm_up()
    known_queue = queue or settings().queue
    with with_code(definition, file.parent, known_queue, project or "", fresh) as (new, code):
        if local:
            _run_here(new, file.parent)
        name = call(lambda client: _begin(client, new, code))
    if as_json:
        output.say_json({"run": name})
    elif detach:
        output.say(name)
    else:
        output.note(f"run {output.bold(name)} of {definition.name}")
    if not detach and not as_json:
        _follow_to_end(name)


async def _begin(client: Client, created: Created, code: Snapshot) -> str:
    from ...services.pipeline.journals import create

    await send(client, code)
    journal = await create(client, created)
    await _start(client, journal.name)
    return journal.name


async def _start(client: Client, name: str) -> None:
    from ...core.fleet.services import QUEUE
    from ...core.sdk.services import start_service
    from ...services.pipeline.journals import PIPELINE

    await start_service(client, PIPELINE, name)
    if not any(QUEUE in agent.queues and agent.takes for agent in await client.agents()):
        output.warn(
            f"no agent serves queue {QUEUE!r}, so the run waits for a controller",
            f"{output.dim('serve it')} evq agent --services",
        )


def _run_here(created: Created, folder: Path) -> NoReturn:
    from ...services.pipeline.local import Local

    def tell(instance: str, what: str) -> None:
        output.note(f"{output.bold(instance)} {what}")

    ended = Local(created, folder, tell).run()
    _say_run(ended)
    raise SystemExit(0 if ended.state == "completed" else 1)


# --- following ------------------------------------------------------------------------------------


def _follow_to_end(name: str) -> NoReturn:
    try:
        found = call(lambda client: _follow(client, name))
    except KeyboardInterrupt:
        output.note(f"\ndetached; run {name} goes on")
        output.note(f"  {output.dim('look')} evq pipeline show {name}")
        output.note(f"  {output.dim('stop')} evq pipeline stop {name}")
        raise SystemExit(INTERRUPTED) from None
    _say_run(found)
    raise SystemExit(0 if found.state == "completed" else 1)


async def _follow(client: Client, name: str) -> Run:
    """Say what is decided about a run until it has ended."""
    from ...services.pipeline.journals import open_run, run_of

    journal = await open_run(client, name)
    if run_of(journal).ended:
        return run_of(journal)
    async with aclosing(journal.follow()) as decided:
        async for noted in decided:
            output.note(f"{output.dim(clock(noted.at))} {noted.words}")
            if run_of(journal).ended:
                break
    return run_of(journal)


# --- looking --------------------------------------------------------------------------------------


@pipeline.command()
@json_option
def ls(as_json: bool) -> None:
    """List the runs there were, the newest last.

    \b
    Examples:
      evq pipeline ls
    """
    from ...services.pipeline.journals import runs

    found = call(runs)
    if as_json:
        output.say_json([_facts(one) for one in found])
    elif found:
        columns = [
            Column("RUN", style=output.bold),
            Column("STATE", style=colored),
            Column("STEPS", right=True),
            Column("CACHED", right=True),
            Column("AGE", right=True),
            Column("TOOK", right=True),
            Column("BY", soft=True),
        ]
        output.say_table(columns, [_row(one) for one in found])
    else:
        output.note("no pipeline was run yet: evq pipeline run FILE")


def _row(run: Run) -> tuple[object, ...]:
    from ...services.pipeline.overview import overview

    steps = overview(run)
    over = sum(one.state not in ("waits", "runs") for one in steps)
    reused = sum(one.reused for one in steps)
    took = span((run.ended_at - run.at) / 1e6) if run.ended_at else ""
    return (run.name, run.state, f"{over}/{len(steps)}", reused or "", age(run.at), took, run.by)


@pipeline.command()
@name_argument
@json_option
def show(name: str, as_json: bool) -> None:
    """Draw a run: its steps, how far each is, and why it ended as it did.

    \b
    Examples:
      evq pipeline show mnist
      evq pipeline show mnist#2 --json
    """
    found = call(lambda client: _load(client, name))
    if as_json:
        output.say_json(_facts(found))
    else:
        _say_run(found)


async def _load(client: Client, selector: str) -> Run:
    from ...services.pipeline.journals import find, run_of

    return run_of(await find(client, selector))


def _facts(run: Run) -> dict[str, object]:
    """What `--json` prints of a run."""
    from ...services.pipeline.overview import overview

    ended = run.ended
    return {
        "run": run.name,
        "pipeline": run.definition.name,
        "state": run.state,
        "why": ended.evidence if ended else "",
        "params": run.definition.params,
        "created": iso(run.at),
        "ended": iso(run.ended_at),
        "by": run.by,
        "steps": [
            {
                "step": one.step,
                "state": one.state,
                "after": run.graph.parents[one.step],
                "instances": one.total,
                "ended": one.ended,
                "cached": one.reused,
                "seconds": one.seconds,
                "tasks": one.tasks,
                "why": one.evidence,
            }
            for one in overview(run)
        ],
    }


def _say_run(run: Run) -> None:
    from ...services.pipeline.overview import StepView, overview

    views = {one.step: one for one in overview(run)}

    def words(one: StepView) -> str:
        count = f" [{one.ended}/{'?' if one.total is None else one.total}]" if one.each else ""
        parts = [f"{output.bold(one.step)}{count}", colored(one.state)]
        if one.seconds is not None:
            parts.append(span(one.seconds))
        if one.reused:
            parts.append(output.dim("cached" if one.reused == one.ended else f"{one.reused} cached"))
        if not one.each and one.tasks:
            parts.append(output.dim(next(iter(one.tasks.values()))))
        return "  ".join(parts)

    _draw(
        run.graph.order,
        run.graph.parents,
        {name: (MARKS.get(one.state, "●"), words(one)) for name, one in views.items()},
    )
    output.say()
    output.say(f"run {output.bold(run.name)} {_state_words(run)}")
    for one in views.values():
        if one.evidence and one.state != "completed":
            output.say(f"  {one.step}: {one.evidence}")
            failed = [task for name, task in one.tasks.items() if _failed(run, name)]
            if failed:
                output.say(f"  {output.dim('look')} evq show {failed[0]}")
    if run.ended and run.state != "completed":
        output.say(f"  {output.dim('go on')} evq pipeline resume {run.name}")


MARKS = {"waits": "○", "runs": "◐", "failed": "✘", "timed_out": "✘", "aborted": "■", "skipped": "◌"}


def _failed(run: Run, instance: str) -> bool:
    result = run.result(instance)
    return result is not None and result.outcome != "completed"


def _state_words(run: Run) -> str:
    took = f" in {span((run.ended_at - run.at) / 1e6)}" if run.ended_at else ""
    why = run.ended.evidence if run.ended else ""
    return f"{colored(run.state)}{took}{f': {why}' if why else ''}"


def _draw_plan(definition: Definition) -> None:
    from ...services.pipeline.graph import graph

    found = graph(definition)
    steps = {name: ("○", output.bold(name)) for name in found.order}
    _draw(found.order, found.parents, steps)


def _draw(
    order: Sequence[str],
    parents: dict[str, tuple[str, ...]],
    steps: dict[str, tuple[str, str]],
) -> None:
    """The graph with a mark and words for each step; the words stand below each other."""
    from ...services.pipeline.drawing import draw

    lines = draw(order, parents)
    width = max(len(one.left) + 1 + len(one.right) for one in lines)
    for one in lines:
        if one.step:
            mark, words = steps[one.step]
            rails = len(one.left) + 1 + len(one.right)
            output.say(f"{one.left}{mark}{one.right}{' ' * (width - rails)}  {words}")
        else:
            output.say(one.left)


# --- changing -------------------------------------------------------------------------------------


@pipeline.command()
@name_argument
@click.option("--code", is_flag=True, help="With the code that is here now, not that of the run.")
@fresh_option
@detach_option
def resume(name: str, code: bool, fresh: bool, detach: bool) -> None:
    """Go on with a run that has ended, at what failed, was aborted or was skipped.

    What has completed stays as it is. --code takes the code of this folder, which should be the one
    where the run was begun.

    \b
    Examples:
      evq pipeline resume mnist
      evq pipeline resume mnist#3 --code
    """
    _again(name, None, code, fresh, detach)


@pipeline.command()
@name_argument
@click.option("--from", "step", required=True, metavar="STEP", help="The first step to run again.")
@click.option("--code", is_flag=True, help="With the code that is here now, not that of the run.")
@detach_option
def rerun(name: str, step: str, code: bool, detach: bool) -> None:
    """Run a step of a run once more, and all that comes after it. One item of it is STEP[2].

    \b
    Examples:
      evq pipeline rerun mnist --from train
      evq pipeline rerun mnist#3 --from 'train[2]' --code
    """
    _again(name, step, code, True, detach)


def _again(name: str, step: str | None, code: bool, fresh: bool, detach: bool) -> None:
    from ...core.sdk.snapshot import take

    if code:
        with take(Path.cwd(), None, include_folder=True) as snapshot:
            found = call(lambda client: _resume(client, name, step, snapshot, fresh))
    else:
        found = call(lambda client: _resume(client, name, step, None, fresh))
    if detach:
        output.say(found)
    else:
        _follow_to_end(found)


async def _resume(
    client: Client, selector: str, step: str | None, code: Snapshot | None, fresh: bool
) -> str:
    from ...services.pipeline.facts import Resumed
    from ...services.pipeline.journals import find, run_of

    journal = await find(client, selector)
    if code:
        await send(client, code)

    def choose(run: Run | None) -> tuple[Fact, str] | None:
        assert run
        chosen = _chosen(run, step)
        words = f"go on with {', '.join(chosen[:5])}{' …' if len(chosen) > 5 else ''}"
        given = (code.code, code.tree) if code else (None, "")
        return Resumed(chosen, *given, fresh), words

    await journal.decide(choose)
    await _start(client, run_of(journal).name)
    return journal.name


def _chosen(run: Run, step: str | None) -> tuple[str, ...]:
    """The instances that are to run again. Raises `Conflict` or `NotFound`."""
    from ...services.pipeline.decide import again, unfinished
    from ...services.pipeline.values import split

    if not run.ended:
        raise Conflict(
            f"run {run.name} has not ended",
            why="what runs of it would run twice",
            fix=f"evq pipeline stop {run.name}, or wait for its end",
        )
    if step is None:
        if run.state == "completed":
            raise Conflict(
                f"run {run.name} has completed",
                why="there is nothing left to be done",
                fix=f"evq pipeline rerun {run.name} --from {run.graph.order[-1]}",
            )
        return again(run, unfinished(run))
    wanted = {name for name in run.instances if step in (name, split(name)[0])}
    if not wanted:
        raise NotFound(
            f"run {run.name} has no step {step} that ran",
            why=f"there ran {', '.join(run.instances) or 'none'}",
            fix=f"evq pipeline resume {run.name} goes on where it ended",
        )
    return again(run, wanted)


@pipeline.command()
@name_argument
@reason_option
def stop(name: str, reason: str) -> None:
    """End a run: what runs of it is aborted, and nothing more begins.

    \b
    Examples:
      evq pipeline stop mnist --reason "wrong data"
    """
    output.say(call(lambda client: _stop(client, name, reason or "stopped by hand")))


async def _stop(client: Client, selector: str, reason: str) -> str:
    from ...services.pipeline.facts import StopWished
    from ...services.pipeline.journals import find

    journal = await find(client, selector)

    def choose(run: Run | None) -> tuple[Fact, str] | None:
        assert run
        if run.ended or run.stop:
            raise Conflict(
                f"run {run.name} is {run.state}",
                why="there is nothing to stop",
                fix=f"evq pipeline show {run.name}",
            )
        return StopWished(reason), f"it is to stop: {reason}"

    await journal.decide(choose)
    # A run whose controller is gone for good needs one to be stopped.
    await _start(client, journal.name)
    return f"run {journal.name} ends"
