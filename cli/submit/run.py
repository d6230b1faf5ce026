"""`evq run`: enqueue, follow, and end with the task's own exit code."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from ...core import events
from ...core.events import Envelope, Log, Metric, Progress
from ...core.gangs.gang import decisive
from ...core.handle import load_gang
from ...core.sdk.following import Happened, Said, follow, newborn
from ...core.sdk.snapshot import Snapshot
from ...core.spec import Spec
from ...core.state import Attempt, Ended, Task
from ...core.wire import decode
from ...core.words.narrate import narrate, phase_text
from .. import output
from ..calling import call, warm_up
from ..failure import INTERRUPTED
from ..tasks.document import exit_status
from ..tasks.remedy import failed
from ..tasks.render import colored, end_text, marked, span
from ..tasks.statusline import StatusLine
from .enqueue import (
    code_of,
    first_draft,
    submit,
    summary,
    warn_of_code,
    warn_of_dependency,
    warn_of_queue,
    warn_of_service,
)
from .gang import follow_members, member_lines, rank_label
from .wish import TaskCommand, Wish, make_wish, task_options

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command(cls=TaskCommand)
@task_options
def run(**options: Any) -> None:
    """Enqueue a task, show what it does, and end with its exit code.

    What the task writes comes out as it was, stdout on stdout and stderr on stderr; all the
    rest goes to stderr. ^C stops the showing, not the task.

    A task that was ended by signal N gives 128+N, one that ran out of time 124, an aborted one
    143, one that failed before it could run 1.

    \b
    Examples:
      evq run train.py -- --lr 0.1
      evq run -q gpu -r requirements.txt train.py
    """
    warm_up()
    wish = make_wish(options)
    enqueued: list[str] = []
    try:
        with code_of(first_draft(wish), wish) as (spec, snapshot):
            task = call(lambda client: _run(client, spec, snapshot, wish, enqueued))
    except KeyboardInterrupt:
        if enqueued:
            _detached(enqueued[0])
        raise SystemExit(INTERRUPTED) from None
    raise SystemExit(exit_status(task))


async def _run(
    client: Client,
    spec: Spec,
    snapshot: Snapshot | None,
    wish: Wish,
    enqueued: list[str],
) -> Task:
    done = await submit(client, spec, snapshot, wish)
    enqueued.append(done.receipt.task)
    for line in summary(done):
        output.note(line)
    if snapshot:
        warn_of_code(snapshot)
    warn_of_queue(done)
    warn_of_dependency(done)
    warn_of_service(done)
    task = await newborn(client.bus, done.receipt.seq)
    if spec.nodes > 1:
        return await _watch_gang(client, task)
    show = Show()
    async with aclosing(follow(client.bus, task)) as items:
        async for item in items:
            show.tell(item)
            task = item.task if isinstance(item, Happened) else task
    show.end(task)
    return task


async def _watch_gang(client: Client, gang: Task) -> Task:
    """The member whose end is that of all, when all have ended."""
    members = await load_gang(client.bus.log, gang)
    shows = [Show(rank_label(rank, len(members))) for rank in range(len(members))]
    ended = await follow_members(client, members, lambda rank, item: shows[rank].tell(item))
    for line in member_lines(ended):
        output.note(output.dim(f"  {line}"))
    last = decisive(ended)
    Show().end(last)
    return last


def _detached(task: str) -> None:
    output.note()
    output.note(f"detached; task {task} goes on")
    output.note(f"  {output.dim('follow')} evq logs {task} -f")
    output.note(f"  {output.dim('stop')}   evq abort {task}")


class Show:
    """Tells a task's story on this terminal: its output, and around it what happens."""

    def __init__(self, label: str = "") -> None:
        """`label` stands before each line, to tell it from those of others."""
        self._label = label
        self._line = StatusLine()
        self._metrics: dict[str, float] = {}
        self._progress = ""

    def tell(self, item: Happened | Said) -> None:
        """Show one more thing."""
        if isinstance(item, Happened):
            self._happened(item)
            return
        match item.record:
            case Log():
                self._lines(item.record)
            case Metric(name=names, value=values):
                self._metrics.update(zip(names, map(float, values), strict=True))
                self._line.show(self._status())
            case Progress() as progress:
                self._progress = progress_text(progress)
                self._line.show(self._status())

    def _status(self) -> str:
        numbers = [f"{name} {value:.4g}" for name, value in self._metrics.items()]
        return "  ".join(filter(None, [self._progress, *numbers[:6]]))

    def _happened(self, item: Happened) -> None:
        message = decode(item.stored.data)
        event = message.event if isinstance(message, Envelope) else None
        match event:
            case events.Phase(seconds=None, name=name):
                self._line.show(f"{name} …")
            case events.Phase(name=name, seconds=seconds, cached=cached, detail=detail):
                self._step(phase_text(name, seconds, cached, detail))
            case events.Environment() | events.Finished():
                pass
            case events.Claimed(agent=agent, attempt=number):
                waited = (
                    span((item.task.live.claimed - item.before.enqueued) / 1e6)
                    if (item.task.live and number == 1)
                    else ""
                )
                self._step(
                    f"claimed by {agent}"
                    + (f" after {waited}" if waited else f", attempt {number}")
                )
            case events.Started():
                self._step(f"running on {event.host}, pid {event.pid}")
            case _:
                self._step(narrate(message))

    def _step(self, text: str) -> None:
        self._line.clear()
        mark = "▸" if output.can_print("▸") else ">"
        output.note(self._label + output.dim(f"  {mark} {text}"))

    def _lines(self, record: Log) -> None:
        self._line.clear()
        out, err = (output.fitting(self._label, file) for file in (sys.stdout, sys.stderr))
        for letter, text in zip(record.stream, record.text, strict=True):
            if letter == "o":
                sys.stdout.write(f"{out}{text}\n")
            elif letter == "e":
                sys.stderr.write(f"{err}{text}\n")
            else:
                output.note(self._label + output.dim(f"    {text}"))
        sys.stdout.flush()

    def end(self, task: Task) -> None:
        """The last line: how it ended, and what to do about it."""
        self._line.clear()
        for line in ending(task):
            output.note(line)


def progress_text(progress: Progress) -> str:
    """`60/100 epoch 1`."""
    total = f"/{progress.total:g}" if progress.total else ""
    return f"{progress.done:g}{total} {progress.text}".rstrip()


def ending(task: Task) -> list[str]:
    """How a task ended, and for one that did not complete, what may be done about it."""
    state = task.state
    if not isinstance(state, Ended):
        return [f"task {task.id} is {task.name_of_state}"]
    last = task.past[-1] if task.past else None
    word = colored(marked(task.name_of_state))
    how = end_text(state.exit_code, state.cause) if state.exit_code or state.cause else ""
    lines = [f"{word}  task {task.id}{_after(last)}{f'  {how}' if how else ''}"]
    if state.evidence and state.evidence != how:
        lines.append(f"  {state.evidence}")
    if task.name_of_state != "completed":
        more, again = output.dim("more"), output.dim("again")
        lines.append(f"  {more} evq show {task.id}    {again} evq retry {task.id}")
        if failed(task):
            look, here = output.dim("look"), output.dim("here ")
            lines.append(f"  {look} evq shell {task.id}   {here} evq repro {task.id}")
    return lines


def _after(attempt: Attempt | None) -> str:
    if attempt is None or attempt.launch is None or attempt.end is None:
        return ""
    return f" in {span((attempt.end.at - attempt.launch.at) / 1e6)}"
