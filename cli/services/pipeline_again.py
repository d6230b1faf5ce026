"""`evq pipeline resume`, `rerun` and `stop`: what people decide about a run that is there."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import Conflict, NotFound
from ...core.sdk.client import Client
from ...core.sdk.sending import send
from ...core.sdk.snapshot import Snapshot, take
from ...services.pipeline.decide import again, unfinished
from ...services.pipeline.facts import Fact, Resumed, StopWished
from ...services.pipeline.journals import find, run_of
from ...services.pipeline.run import Run
from ...services.pipeline.values import split
from ..calling import call
from .pipeline_start import over, start


def go_on(name: str, step: str | None, *, code: bool, fresh: bool) -> str:
    """Let what did not complete run again, or `step` and what comes after it; the run's name."""
    if not code:
        return call(lambda client: _resume(client, name, step, None, fresh))
    with take(Path.cwd(), None, include_folder=True) as snapshot:
        return call(lambda client: _resume(client, name, step, snapshot, fresh))


async def _resume(
    client: Client, selector: str, step: str | None, code: Snapshot | None, fresh: bool
) -> str:
    journal = await find(client, selector)
    _chosen(run_of(journal), step)  # what makes no sense is refused at once
    await over(client, journal.name)
    if code:
        await send(client, code)

    def choose(run: Run | None) -> tuple[Fact, str] | None:
        assert run
        chosen = _chosen(run, step)
        words = f"go on with {', '.join(chosen[:5])}{' …' if len(chosen) > 5 else ''}"
        if code:
            return Resumed(chosen, code.code, code.tree, fresh), words
        return Resumed(chosen, fresh=fresh), words

    await journal.decide(choose)
    await start(client, journal.name)
    return journal.name


def _chosen(run: Run, step: str | None) -> tuple[str, ...]:
    """The parts that are to run again. Raises `Conflict` or `NotFound`."""
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
    wanted = {name for name in run.parts if step in (name, split(name)[0])}
    if not wanted:
        raise NotFound(
            f"run {run.name} has no step {step} that ran",
            why=f"there ran {', '.join(run.parts) or 'none'}",
            fix=f"evq pipeline resume {run.name} goes on where it ended",
        )
    return again(run, wanted)


async def stop_run(client: Client, selector: str, reason: str) -> str:
    """Write down that a run is to end; its name. Raises `Conflict` if it has ended."""
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
    # One whose controller was ended by hand needs another to be stopped.
    await start(client, journal.name)
    return journal.name
