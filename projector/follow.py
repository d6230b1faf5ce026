"""From the streams into the database: read them, gather, write, and say how far it is.

All writing is done by one thread, so that the event loop never waits for a disk; questions are read
by others beside it.
After any failure of the database the file is opened again, and reading goes on from the position
that it names: what was written is not written again, and what was not is read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ..core.bus.connect import Bus
from ..core.bus.requests import ApiError
from ..core.bus.stream import Stream, StreamInfo
from ..core.errors import Conflict, QueryFailed
from ..core.past import Moment
from ..core.ports import BusAway, Stored
from .history import clean, trim
from .history.compact import Compacted, adopt, compact, copy_of, discard, is_wasteful
from .identity import FORGET, check_identity, is_shorter
from .inbox import Inbox, Rhythm
from .projection import FAR, Batch, Projection
from .readers import LONGEST_SECONDS, Readers, being_opened
from .samples.roll_up import KEEP_SECONDS, LOOK_SECONDS, Housekeeping
from .store import Answer, Busy, Database, Failed, Position, Question, room

T = TypeVar("T")
Say = Callable[[str], None]

ANSWER_SECONDS = 2.0
WATCH_SECONDS = 2.0
LEAST_ROOM = 2**30
_NO_ROOM_SECONDS = 5.0
_REOPEN_SECONDS = 1.0
_HOLD_SECONDS = 0.02


class Follower:
    """Keeps the database at the end of the streams. Only `run` brings it forward."""

    def __init__(
        self,
        bus: Bus,
        path: Path,
        say: Say,
        rhythm: Rhythm | None = None,
        free: Callable[[Path], int] = room,
        keep: float = KEEP_SECONDS,
    ) -> None:
        """`keep` is for how many seconds samples stay in full."""
        self._bus = bus
        self._path = path
        self._say = say
        self._rhythm = rhythm or Rhythm()
        self.on_let_go: Callable[[], None] = lambda: None
        """Called when rows that were to go are gone."""
        self._free = free
        self._keep = keep
        self._thread = ThreadPoolExecutor(1, "duckdb")
        self._projection: Projection | None = None
        self._readers: Readers | None = None
        self._created: dict[str, str] = {}
        self._arrived = asyncio.Event()
        self._hurry = asyncio.Event()
        self._moved = asyncio.Event()
        self.position = (0, 0, 0)
        """How far the streams are in the database: lifecycle, telemetry, samples."""

    # --- the database's thread ----------------------------------------------------------------

    async def _in_thread(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # What was begun is finished, or the next to use the thread would find it half done.
            with suppress(Exception):
                await future
            raise

    async def open(self) -> None:
        """Open the file and look at the streams. Raises `Conflict` if they do not fit together."""
        discard(self._path)
        seen = await self._look()
        streams = {
            stream.name: Position(info.created, info.state.last_seq) for stream, info in seen
        }
        self._created = {name: position.created for name, position in streams.items()}
        gone = {stream.name: info.state.first_seq - 1 for stream, info in seen}
        self._projection = await self._in_thread(lambda: self._open(streams, gone))
        self._readers = Readers(self._projection.database)
        self._tell_position()

    def _open(self, streams: dict[str, Position], gone: dict[str, int]) -> Projection:
        database = Database(self._path, checkpoint=self._rhythm.checkpoint)
        try:
            known = database.positions()
            with database.transaction():
                for name, position in streams.items():
                    if name not in known:
                        database.start(name, position.created)
            for name, position in known.items():
                if is_shorter(name, position, streams[name]):
                    self._say(f"{name} has lost its end: back to {streams[name].seq}")
                    FORGET[name](database, streams[name].seq)
                else:
                    check_identity(name, position, streams[name])
            # What a stream no longer has will not come: nobody is to wait for it.
            for name, position in database.positions().items():
                if position.seq < gone[name]:
                    database.move(name, gone[name])
            return Projection(database)
        except BaseException:
            database.close()
            raise

    async def close(self) -> None:
        """Close the file."""
        await self._close()
        self._thread.shutdown()

    async def _close(self) -> None:
        projection, self._projection = self._projection, None
        readers, self._readers = self._readers, None
        if readers:
            await self._in_thread(readers.close)
        if projection:
            await self._in_thread(projection.database.close)

    async def ask(self, question: Question, moment: Moment | None = None) -> tuple[int, Answer]:
        """The answer to a question, and the lifecycle sequence that it saw; beside the writing.
        With a `moment` that the projection has reached, the answer of then.

        Raises `QueryFailed`, `Conflict`, or what the question raises.
        """
        if self._readers is None:
            raise being_opened()
        return await self._readers.ask(question, moment)

    async def alone(self, work: Callable[[Database], T]) -> T:
        """What `work` makes of the database while nothing is written. Raises `Conflict`."""

        def working() -> T:
            if self._projection is None:
                raise being_opened()
            return work(self._projection.database)

        return await self._in_thread(working)

    async def copy(self, target: Path) -> tuple[int, int, int]:
        """Copy the database to a file, beside the writing; the positions at which it was then.

        Raises `Conflict`, or `QueryFailed` if others read for too long.
        """
        database, positions = await self._hold()
        try:
            await asyncio.to_thread(database.copy, target)
        except ValueError as closed:
            raise being_opened() from closed
        finally:
            await self.alone(Database.release)
        lifecycle, telemetry, samples = (positions[one.name].seq for one in self._streams)
        return lifecycle, telemetry, samples

    async def _hold(self) -> tuple[Database, dict[str, Position]]:
        """Let the file stand, at these positions, as soon as no reader is in the way."""

        def hold(database: Database) -> tuple[Database, dict[str, Position]]:
            database.hold()
            return database, database.positions()

        end = time.monotonic() + LONGEST_SECONDS
        while True:
            try:
                return await self.alone(hold)
            except Busy as busy:
                if time.monotonic() > end:
                    raise QueryFailed(
                        "there is no copy of the database to be asked",
                        why=f"others have read it for {LONGEST_SECONDS:g} s",
                        fix="try again",
                    ) from busy
            await asyncio.sleep(_HOLD_SECONDS)

    # --- following ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the streams until cancelled. Raises `Conflict` if a stream is another one now."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    inboxes = self._inboxes()
                    for inbox, seq in zip(inboxes, self.position, strict=True):
                        group.create_task(self._pump(inbox, seq + 1))
                    group.create_task(self._watch())
                    group.create_task(self._keep_house())
                    group.create_task(self._flush(*inboxes))
            except* Compacted:
                pass
            except* Conflict as conflicts:
                raise conflicts.exceptions[0] from None
            except* (Failed, ApiError) as failures:
                self._say(f"the projection stopped and begins again: {failures.exceptions[0]}")
            await self._reopen()

    def _inboxes(self) -> tuple[Inbox, Inbox, Inbox]:
        self._arrived.clear()
        lifecycle, telemetry, samples = self._streams
        rhythm = self._rhythm
        return Inbox(lifecycle, rhythm), Inbox(telemetry, rhythm), Inbox(samples, rhythm)

    async def _reopen(self) -> None:
        await self._close()
        if saved := await self._in_thread(lambda: adopt(self._path)):
            self._say(f"the database gave back {saved / 2**20:,.1f} MiB")
        while self._projection is None:
            try:
                await self.open()
            except (Failed, BusAway, ApiError) as error:
                self._say(f"the projection cannot begin yet: {error}")
                await asyncio.sleep(_REOPEN_SECONDS)

    async def _pump(self, inbox: Inbox, start: int) -> None:
        async with inbox.stream.follow(start) as batches:
            async for batch in batches:
                inbox.put(batch)
                self._arrived.set()
                if inbox.full:
                    self._hurry.set()
                    await inbox.has_room.wait()

    async def _flush(self, lifecycle: Inbox, telemetry: Inbox, samples: Inbox) -> None:
        early: Sequence[Stored] = ()
        horizon, rhythm = FAR, self._rhythm
        while True:
            await self._arrived.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(rhythm.seconds):
                    await self._hurry.wait()
            await self._wait_for_room()
            self._arrived.clear()
            due = self._hurry.is_set() or time.monotonic() - samples.taken_at >= rhythm.samples
            self._hurry.clear()
            # What is early goes first and alone: the horizon was measured after it was read.
            batch = Batch(
                lifecycle.take(), early or telemetry.take(), horizon, samples.take() if due else ()
            )
            early = await self._apply(batch) if len(batch) else ()
            horizon = await self._horizon() if early else FAR
            left = any(inbox.messages for inbox in (lifecycle, telemetry, samples))
            if left or horizon <= self.position[0]:
                self._arrived.set()

    async def _apply(self, batch: Batch) -> Sequence[Stored]:
        projection = self._projection
        assert projection is not None
        early = await self._in_thread(lambda: projection.apply(batch))
        self._tell_position()
        return early

    async def _horizon(self) -> int:
        """How far the lifecycle stream reaches, for telemetry that names an event beyond ours."""
        try:
            return await self._bus.log.last_seq()
        except (BusAway, ApiError):
            return FAR

    def _tell_position(self) -> None:
        assert self._projection is not None
        self.position = self._projection.position
        self._moved.set()
        self._moved = asyncio.Event()

    async def _keep_house(self) -> None:
        projection = self._projection
        assert projection is not None
        housekeeping = Housekeeping(projection.database, self._keep)
        if self._rhythm.trims:
            await self._compact(projection.database)  # what a process that was killed left undone
        while True:
            await self._wait_for_room()
            await self._in_thread(housekeeping.look)
            if self._rhythm.trims and await self._in_thread(
                lambda: _let_go(projection.database, projection.telemetry)
            ):
                self.on_let_go()
                await self._compact(projection.database)
            await asyncio.sleep(LOOK_SECONDS)

    async def _compact(self, database: Database) -> None:
        """Give back the room that retention left empty, if that is much."""
        if await self._in_thread(lambda: is_wasteful(database)):
            snapshot = copy_of(self._path)
            await self.copy(snapshot)
            await compact(snapshot, self._path)
            raise Compacted

    async def _wait_for_room(self) -> None:
        said = False
        while (free := self._free(self._path)) < LEAST_ROOM:
            if not said:
                self._say(
                    f"only {free // 2**20} MiB are free for {self._path}: the projection waits for"
                    f" {LEAST_ROOM // 2**20} MiB; the log keeps what is to come"
                )
            said = True
            await asyncio.sleep(_NO_ROOM_SECONDS)

    # --- freshness and identity ---------------------------------------------------------------

    async def end(self) -> int:
        """The sequence of the lifecycle stream's last event."""
        try:
            return await self._bus.log.last_seq()
        except (BusAway, ApiError):
            return self.position[0]

    async def catch_up(self) -> int:
        """Wait until all that the streams hold now is in the database, for two seconds at most.

        Returns the `end`, which may be further.
        """
        try:
            ends = [info.state.last_seq for _, info in await self._look()]
        except (BusAway, ApiError):
            return self.position[0]
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await self.reach(ends, hurry=True)
        return ends[0]

    async def reach(self, ends: Sequence[int], *, hurry: bool = False) -> None:
        """Wait until these sequences are in the database; `hurry` writes what came at once."""
        while any(own < end for own, end in zip(self.position, ends, strict=True)):
            moved = self._moved
            if hurry:
                self._hurry.set()
            await moved.wait()

    @property
    def _streams(self) -> tuple[Stream, Stream, Stream]:
        return (self._bus.log, self._bus.telemetry, self._bus.samples)

    async def _look(self) -> Sequence[tuple[Stream, StreamInfo]]:
        infos = await asyncio.gather(*(stream.info() for stream in self._streams))
        return list(zip(self._streams, infos, strict=True))

    async def _watch(self) -> None:
        """Notice when a stream was made anew: its messages would seem to be old ones."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            seqs = self.position
            for seq, (stream, info) in zip(seqs, await self._patient_look(), strict=True):
                ours = Position(self._created[stream.name], seq)
                now = Position(info.created, info.state.last_seq)
                if is_shorter(stream.name, ours, now):
                    raise Failed(f"{stream.name} ends at {now.seq}, before {seq}")
                check_identity(stream.name, ours, now)

    async def _patient_look(self) -> Sequence[tuple[Stream, StreamInfo]]:
        while True:
            try:
                return await self._look()
            except (BusAway, ApiError):
                await asyncio.sleep(WATCH_SECONDS)


def _let_go(database: Database, telemetry: int) -> bool:
    """Take away some of what is to go; whether that was the last of it."""
    trimmed = trim.step(database, telemetry)
    return clean.step(database, telemetry) or trimmed


@asynccontextmanager
async def following(
    bus: Bus, path: Path, say: Say, rhythm: Rhythm | None = None, keep: float = KEEP_SECONDS
) -> AsyncIterator[Follower]:
    """A follower with its file open; whoever wants it to go forward calls `run`."""
    follower = Follower(bus, path, say, rhythm, keep=keep)
    try:
        await follower.open()
        yield follower
    finally:
        await follower.close()
