"""`evq logs`: what a task wrote, read from the stream itself."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec.structs import replace

from ...core.cleaning.cleaned import removal_of, removal_text
from ...core.errors import NotFound, UsageError
from ...core.events import Log
from ...core.sdk.following import Happened, Item, Said, follow, newborn
from ...core.sdk.lines import STREAMS, Line, last_number, lines_of, stored_lines
from ...core.state import Attempt, Ended, Task
from .. import output
from ..calling import call
from ..completion import complete_task
from ..failure import INTERRUPTED
from ..options import json_option
from ..selectors import array_named, resolve
from ..submit.gang import chosen_ranks, follow_members, member, member_lines, rank_label
from .render import clock, colored, iso, marked

if TYPE_CHECKING:
    from ...core.sdk.client import Client

LATELY = 1000


class Wanted(msgspec.Struct, frozen=True):
    """Which lines are asked for, and how they are to look."""

    attempt: int | None
    setup: bool
    pattern: re.Pattern[str] | None
    timestamps: bool
    as_json: bool
    rank: int | None = None
    """Whose lines they are, if those of several ranks are shown together."""
    nodes: int = 1

    def takes(self, line: Line, attempt: Attempt) -> bool:
        """Whether the line is asked for. If an attempt never ran, its set-up is all there is."""
        if self.attempt is not None and line.attempt != self.attempt:
            return False
        if line.stream == "s" and not self.setup and attempt.launch is not None:
            return False
        return self.pattern is None or self.pattern.search(line.text) is not None

    def text(self, line: Line) -> str:
        """The line as it is printed."""
        if self.as_json:
            facts = {"attempt": line.attempt, "line": line.number, "at": iso(line.at)}
            facts |= {} if self.rank is None else {"rank": self.rank}
            said = {"stream": STREAMS.get(line.stream, line.stream), "text": line.text}
            return msgspec.json.encode(facts | said).decode()
        dim = output.stdout_dim()
        text = line.text if line.stream in "oe" else dim(line.text)
        text = f"{dim(clock(line.at))} {text}" if self.timestamps else text
        if self.rank is None:
            return text
        return output.fitting(rank_label(self.rank, self.nodes), sys.stdout) + text


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the task has ended.")
@click.option("--setup", is_flag=True, help="Also what setting up code and environment wrote.")
@click.option("--attempt", type=int, metavar="N", help="One attempt.  [the last one]")
@click.option("--rank", metavar="R|all", help="One rank of a gang, or all.  [0]")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines.")
@click.option("--grep", metavar="RE", help="Only lines that hold this regular expression.")
@click.option("--timestamps", is_flag=True, help="Put the time before each line.")
@json_option
def logs(
    task: str,
    following: bool,
    setup: bool,
    attempt: int | None,
    rank: str | None,
    tail: int | None,
    grep: str | None,
    timestamps: bool,
    as_json: bool,
) -> None:
    """Print what a task wrote: by default the last one you enqueued, its last attempt.

    Everything comes on stdout, in the order in which it was written. With --json each line is an
    object of its own. The lines of several ranks, or of the members of an array, are told apart by
    [RANK] before each.

    \b
    Examples:
      evq logs -f
      evq logs k3f9 --setup
      evq logs k3f9 --tail 50 --grep Error
    """
    wanted = Wanted(attempt, setup, _pattern(grep), timestamps, as_json)
    try:
        call(lambda client: _logs(client, task, rank, wanted, tail, following))
    except KeyboardInterrupt:
        if following:
            output.note(output.dim("no longer following; the task goes on"))
        raise SystemExit(INTERRUPTED) from None


def _pattern(written: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(written) if written else None
    except re.error as error:
        raise UsageError(
            f"{written!r} is no regular expression", why=str(error), fix="--grep 'loss.*nan'"
        ) from error


async def _logs(
    client: Client,
    selector: str,
    rank: str | None,
    wanted: Wanted,
    tail: int | None,
    following: bool,
) -> None:
    if array := await array_named(client, selector):
        await _logs_of_all(client, await client.members(array.id), wanted, tail, following)
        return
    named = await client.get(await resolve(client, selector))
    members = [await member(client, named, one) for one in chosen_ranks(named, rank)]
    if len(members) == 1:
        await _logs_of_one(client, members[0], wanted, tail, following)
    else:
        await _logs_of_all(client, members, wanted, tail, following)


async def _logs_of_all(
    client: Client, members: list[Task], wanted: Wanted, tail: int | None, following: bool
) -> None:
    """The lines of all members together, by the time at which they were written."""
    arrays = [one.spec.array for one in members]
    ranks = [array.index if array else rank for rank, array in enumerate(arrays)]
    shown = [replace(wanted, rank=rank, nodes=ranks[-1] + 1) for rank in ranks]
    firsts = [last_number(one) for one in members]
    if following and not all(isinstance(one.state, Ended) for one in members):

        def tell(rank: int, item: Item) -> None:
            if not isinstance(item, Said) or not isinstance(item.record, Log):
                return
            for line in lines_of(item.record):
                if line.attempt >= firsts[rank] and shown[rank].takes(line, item.attempt):
                    print(shown[rank].text(line), flush=True)

        ended = await follow_members(client, members, tell)
        if not wanted.as_json and ended[0].spec.gang:
            for text in member_lines(ended):
                output.note(output.dim(text))
        return
    lines = [
        (line.at, rank, line)
        for rank, one in enumerate(members)
        async for line in _stored_lines(
            client, one, replace(shown[rank], attempt=wanted.attempt or firsts[rank])
        )
    ]
    lines.sort(key=lambda one: one[:2])
    for _, rank, line in lines if tail is None else lines[max(0, len(lines) - tail) :]:
        print(shown[rank].text(line))


async def _logs_of_one(
    client: Client, task: Task, wanted: Wanted, tail: int | None, following: bool
) -> None:
    numbers = [attempt.number for attempt in task.attempts]
    if wanted.attempt is not None and wanted.attempt not in numbers and not following:
        raise NotFound(
            f"task {task.id} has no attempt {wanted.attempt}",
            why=f"it has {len(numbers)}",
            fix=f"evq show {task.id}",
        )
    last = last_number(task)
    if following and not isinstance(task.state, Ended):
        await _follow(client, task, wanted, last, tail)
        return
    if wanted.attempt is None:
        wanted = replace(wanted, attempt=last)
    lines = _stored_lines(client, task, wanted)
    shown = await _print(lines, wanted, tail)
    if not shown and not wanted.as_json:
        output.note(output.dim(_silence(task, wanted)))


def _silence(task: Task, wanted: Wanted) -> str:
    if not task.attempts:
        return f"task {task.id} has not run: it is {task.name_of_state}  (evq why {task.id})"
    if removal := removal_of(task, "logs", wanted.attempt):
        return removal_text(removal)
    what = "matches" if wanted.pattern else "was written"
    return f"nothing {what} in attempt {wanted.attempt} of task {task.id} ({task.name_of_state})"


async def _print(lines: AsyncIterator[Line], wanted: Wanted, tail: int | None) -> int:
    count = 0
    if tail is None:
        async for line in lines:
            print(wanted.text(line))
            count += 1
        return count
    last: deque[Line] = deque(maxlen=tail)
    async for line in lines:
        last.append(line)
    for line in last:
        print(wanted.text(line))
    return len(last)


async def last_lines(client: Client, task: Task, count: int) -> list[str]:
    """The last lines of a task's last attempt, if it wrote any not long before its end."""
    wanted = Wanted(len(task.attempts), False, None, False, False)
    last: deque[str] = deque(maxlen=count)
    async for line in _stored_lines(client, task, wanted, LATELY):
        last.append(line.text)
    return list(last)


async def _stored_lines(
    client: Client, task: Task, wanted: Wanted, lately: int | None = None
) -> AsyncIterator[Line]:
    """Those that are there now, of what is asked for."""
    async for attempt, line in stored_lines(client, task, lately):
        if wanted.takes(line, attempt):
            yield line


async def _follow(client: Client, task: Task, wanted: Wanted, first: int, tail: int | None) -> None:
    """From the attempt `first` on, and every one after it; `tail` cuts what is there already."""
    skip = 0
    if tail is not None:
        now = replace(wanted, attempt=wanted.attempt or first)
        skip = max(0, await _count(_stored_lines(client, task, now)) - tail)
    async with aclosing(follow(client.bus, await newborn(client.bus, task.origin))) as items:
        async for item in items:
            if isinstance(item, Happened):
                task = item.task
            elif isinstance(item.record, Log) and item.attempt.number >= first:
                for line in lines_of(item.record):
                    if not wanted.takes(line, item.attempt):
                        continue
                    if skip:
                        skip -= 1
                        continue
                    print(wanted.text(line))
                sys.stdout.flush()
    if not wanted.as_json:
        output.note(f"{colored(marked(task.name_of_state))}  {output.dim(f'task {task.id}')}")


async def _count(lines: AsyncIterator[Line]) -> int:
    return sum([1 async for _ in lines])
