"""Where the facts of runs stand, and the results that may be taken again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ...core.errors import Conflict, NotFound
from ...core.journal import Noted
from ...core.sdk.client import Client
from ...core.sdk.journal import Journal, journals
from .definition import Definition
from .facts import Created, Fact, Kept
from .run import Run, evolve

PIPELINE = "pipeline"
CACHE = "pipeline-cache"

RunJournal = Journal[Run | None, Fact]


def journal_of(client: Client, name: str) -> RunJournal:
    """The journal of a run; to be loaded."""

    def fold(run: Run | None, noted: Noted[Fact]) -> Run | None:
        return evolve(run, name, noted)

    return Journal(client, PIPELINE, name, facts=Fact, start=None, evolve=fold)


async def open_run(client: Client, name: str) -> RunJournal:
    """The journal of a run that is there. Raises `NotFound`."""
    journal = journal_of(client, name)
    await journal.load()
    if journal.state is None:
        raise NotFound(
            f"there is no run {name} of a pipeline",
            why="no event in the log names it",
            fix="evq pipeline ls",
        )
    return journal


def run_of(journal: RunJournal) -> Run:
    """The run of a journal that `open_run` gave."""
    assert journal.state is not None
    return journal.state


async def runs(client: Client) -> tuple[list[Run], list[str]]:
    """All runs there were, in the order in which they were created; and the names of those that a
    newer evq has written to, so that this one cannot read them."""
    names = await journals(client, PIPELINE)
    opening = (open_run(client, name) for name in names)
    opened = await asyncio.gather(*opening, return_exceptions=True)
    found, newer = [], []
    for name, one in zip(names, opened, strict=True):
        if isinstance(one, Conflict):
            newer.append(name)
        elif isinstance(one, BaseException):
            raise one
        else:
            found.append(run_of(one))
    return sorted(found, key=lambda run: run.at), newer


async def find(client: Client, selector: str) -> RunJournal:
    """The journal of the run that `NAME` (the last one), `NAME#N` or `NAME-N` means.

    Raises `NotFound`.
    """
    name = selector.replace("#", "-")
    known = await journals(client, PIPELINE)
    if name not in known and (numbers := sorted(_numbers(name, known))):
        name = f"{name}-{numbers[-1]}"
    if name not in known:
        raise NotFound(
            f"there is no run {selector} of a pipeline",
            why=f"there is {', '.join(known[-5:])}" if known else "none was ever run",
            fix="evq pipeline ls",
        )
    return await open_run(client, name)


async def create(client: Client, created: Created) -> RunJournal:
    """Write down that a pipeline is to run, under the next number that is free."""
    name = created.definition.name
    number = max(_numbers(name, await journals(client, PIPELINE)), default=0) + 1
    while True:
        journal = journal_of(client, f"{name}-{number}")
        words = f"{created.user or 'somebody'} wants {_size(created.definition)} to run"
        await journal.load()
        if await journal.decide(lambda run: None if run else (created, words)):  # noqa: B023
            return journal
        number += 1


def _size(definition: Definition) -> str:
    count = len(definition.steps)
    return f"{definition.name} ({count} step{'s' if count > 1 else ''})"


def _numbers(name: str, known: Iterable[str]) -> list[int]:
    """The numbers of the runs of one pipeline."""
    rests = (one.removeprefix(f"{name}-") for one in known if one.startswith(f"{name}-"))
    return [int(rest) for rest in rests if rest.isdigit()]


# --- results that may be taken again --------------------------------------------------------------


def _cache(client: Client, digest: str) -> Journal[Kept | None, Kept]:
    return Journal(
        client, CACHE, digest, facts=Kept, start=None, evolve=lambda _, noted: noted.fact
    )


async def kept(client: Client, digest: str) -> Kept | None:
    """The last result that is known by this digest, if its task is still what it was."""
    journal = _cache(client, digest)
    await journal.load()
    if journal.state is None:
        return None
    try:
        task = await client.get(journal.state.task)
    except NotFound:
        return None
    return journal.state if task.name_of_state == "completed" else None


async def keep(client: Client, digest: str, result: Kept) -> None:
    """Let others take this result, too, from now on."""
    journal = _cache(client, digest)
    await journal.load()
    words = f"task {result.task} has this result, of {result.run}"
    await journal.decide(
        lambda known: None if known and known.task == result.task else (result, words)
    )
