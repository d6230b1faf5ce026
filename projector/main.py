"""`evq projector`: one process that owns the database, follows the log and answers questions."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from ..core.bus.connect import Bus, Login, connect, read_login
from ..core.bus.loop import loop_factory
from ..core.bus.requests import ApiError
from ..core.bus.waiting import first_of
from ..core.errors import EvqError, UsageError, report
from ..core.ports import Stored
from ..core.sdk.author import Author
from ..core.sdk.neighbours import Neighbours
from ..core.sdk.ready import tell_ready
from ..core.sdk.trim import Ages
from ..core.subjects import question
from .answers import Answers
from .cells import Cells
from .follow import Follower, following
from .history.archive import archive_by_age
from .history.by_age import trim_by_age
from .history.export import Exports
from .rebuild import rebuild_database
from .samples.roll_up import KEEP_SECONDS
from .snapshots import Snapshots
from .store import OldSchema, database_file
from .verify import verify_database

LEASE = 10.0
"""Seconds; an agent with a longer lease says for as long that it lives."""

OnReady = Callable[[], None]


async def run(
    login: Login,
    store: Path,
    *,
    rebuild: bool = False,
    verify: bool = False,
    keep_samples: float = KEEP_SECONDS,
    trim: Ages | None = None,
    archive_after: float | None = None,
    on_ready: OnReady | None = None,
) -> int:
    """Project until SIGTERM or SIGINT; returns the exit status.

    `store` is the folder of the database. `rebuild` makes a new database from the log, puts it
    in the place of the old one and returns; `verify` compares the database with the log and
    returns 1 if they differ. Samples stay `keep_samples` seconds in full,
    what is older than `trim` says goes, and tasks that ended `archive_after` seconds ago are
    archived. A database of an older evq is rebuilt first. Raises `Conflict` if
    another process holds the database or if it does not belong to the log, and whatever
    `connect` raises.
    """
    # Facts hold no cycles, and a collector that looks at each of them takes a seventh of the time.
    gc.set_threshold(100_000, 20, 100)
    path = database_file(store)
    async with connect(login, "evq-projector", patience=10) as bus, _stopping() as stop:
        await bus.prepare()
        if rebuild:
            return await _until(stop, rebuild_database(bus, path, _say, keep_samples))
        if verify:
            return await _until(stop, verify_database(bus, path, _say))
        try:
            return await _project(bus, path, stop, keep_samples, trim, archive_after, on_ready)
        except OldSchema as old:
            _say(f"{old}; it is rebuilt from the log")
            if status := await _until(stop, rebuild_database(bus, path, _say, keep_samples)):
                return status
            if stop.is_set():
                return 0
            return await _project(bus, path, stop, keep_samples, trim, archive_after, on_ready)


async def _project(
    bus: Bus,
    path: Path,
    stop: asyncio.Event,
    keep_samples: float,
    trim: Ages | None,
    archive_after: float | None,
    on_ready: OnReady | None,
) -> int:
    async with following(bus, path, _say, keep=keep_samples) as follower:
        return await _until(stop, _serve(bus, follower, path, trim, archive_after, on_ready))


async def _look_after_agents(bus: Bus) -> None:
    """Notice when the last agents have gone without a word: no other agent could."""
    clock = asyncio.get_running_loop().time

    async def nothing(stored: Stored) -> None:
        """No event is about a projector."""

    while True:
        try:
            await Neighbours(bus, Author("projector"), "", LEASE, clock).run(nothing)
        except ApiError as refusal:
            # The follower finds out what is wrong with the stream, and says what to do.
            _say(f"nobody looks for lost agents: {refusal}")
        await asyncio.sleep(LEASE)


async def _serve(
    bus: Bus,
    follower: Follower,
    path: Path,
    trim: Ages | None,
    archive_after: float | None,
    on_ready: OnReady | None,
) -> int:
    snapshots, cells = Snapshots(path.with_name("snapshots"), follower.copy), Cells()
    follower.on_let_go = snapshots.outdate
    answers = Answers(follower, snapshots, cells)
    exports = Exports(follower, snapshots, path.with_name("exports"))
    cells.warm()
    try:
        async with (
            bus.calls.serve(question("named"), answers.named),
            bus.calls.serve(question("sql"), answers.sql),
            bus.calls.serve(question("export"), exports.export),
            bus.calls.serve(question("position"), answers.position),
        ):
            if on_ready:
                on_ready()
            await first_of(
                follower.run(),
                _look_after_agents(bus),
                trim_by_age(bus, follower, trim),
                archive_by_age(bus, follower, archive_after),
            )
    finally:
        await cells.close()
        snapshots.close()
    return 0


@asynccontextmanager
async def _stopping() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until(stop: asyncio.Event, work: object) -> int:
    """The status that `work` returns, or 0 as soon as `stop` is set; the work is then undone."""
    working = asyncio.ensure_future(work)  # type: ignore[call-overload]
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return int(working.result()) if working.done() else 0
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await working


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _ready() -> None:
    _say("the projector answers")
    tell_ready()


def main(arguments: Sequence[str]) -> int:
    """Run with `--store DIR`, `--keep-samples SECONDS`, `--trim AGES`, `--archive-after SECONDS`,
    `--rebuild` or `--verify`; returns the exit status.

    The login is the JSON in EVQ_LOGIN: everybody on the machine can read arguments.
    """
    try:
        store, keep_samples, trim, archive_after, flags = _parse(arguments)
        # Taken out of the environment, so that nothing we start can inherit it.
        login = read_login(os.environ.pop("EVQ_LOGIN", "{}"), "evq projector")
        work = run(
            login,
            store,
            rebuild="--rebuild" in flags,
            verify="--verify" in flags,
            keep_samples=keep_samples,
            trim=trim,
            archive_after=archive_after,
            on_ready=_ready,
        )
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(work)
    except EvqError as error:
        _say(report(error))
        return error.exit_code


def _parse(arguments: Sequence[str]) -> tuple[Path, float, Ages | None, float | None, set[str]]:
    store, keep_samples, trim, archive_after = Path("."), KEEP_SECONDS, None, None
    flags: set[str] = set()
    rest = iter(arguments)
    for word in rest:
        if word == "--store":
            store = Path(next(rest, "."))
        elif word == "--keep-samples":
            keep_samples = float(next(rest, KEEP_SECONDS))
        elif word == "--trim":
            trim = msgspec.json.decode(next(rest, "{}"), type=Ages)
        elif word == "--archive-after":
            archive_after = float(next(rest, "inf"))
        elif word in ("--rebuild", "--verify"):
            flags.add(word)
        else:
            raise UsageError(f"{word} is no option of the projector", fix="--store DIR")
    return store, keep_samples, trim, archive_after, flags
