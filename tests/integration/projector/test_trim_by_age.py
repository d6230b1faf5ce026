"""Retention by the age of things: the projector's own, day by day, and that of minutes by hand."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sampled import SECOND, sample, since_noon

from evq.core import subjects, wire
from evq.core.events import Envelope
from evq.core.retention import MOST_POINTS, Trimmed
from evq.core.sdk.author import now
from evq.core.sdk.trim import Ages
from evq.projector.follow import Follower, following
from evq.projector.history.by_age import EVERY_SECONDS, FIRST_SECONDS, trim_by_age
from evq.projector.main import _parse as parse

DAY = 86_400
AGES = Ages(metrics=90.0 * DAY, logs=30.0 * DAY, minutes=50.0 * DAY)


class Days:
    """A clock that stands still until a test moves it on, and the naps of whoever goes by it."""

    def __init__(self) -> None:
        self.at = now()
        self._naps: asyncio.Queue[float] = asyncio.Queue()
        self._over: asyncio.Queue[None] = asyncio.Queue()

    def clock(self) -> int:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self._naps.put_nowait(seconds)
        await self._over.get()

    async def nap(self) -> float:
        """For how long it sleeps now, when it does."""
        return await asyncio.wait_for(self._naps.get(), 30)

    def pass_by(self, days: float) -> None:
        """Let it wake up so many days later."""
        self.at += round(days * DAY * SECOND)
        self._over.put_nowait(None)


@asynccontextmanager
async def projecting(user: Any, folder: Path, ages: Ages, days: Days) -> AsyncIterator[Follower]:
    """A projector in this process, with retention that goes by `days`."""
    async with following(user.bus, folder / "evq.duckdb", lambda text: None) as follower:
        parts = [
            asyncio.create_task(follower.run()),
            asyncio.create_task(trim_by_age(user.bus, follower, ages, days.clock, days.sleep)),
        ]
        try:
            yield follower
            for part in parts:
                assert not part.done(), part
        finally:
            for part in parts:
                part.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*parts)


async def wishes(user: Any) -> list[Envelope]:
    """What was trimmed so far, in the log."""
    history = await user.bus.log.history(subjects.HISTORY_EVENTS)
    found = [wire.decode(stored.data) for stored in history]
    return [one for one in found if isinstance(one, Envelope) and isinstance(one.event, Trimmed)]


async def figures(follower: Follower, text: str) -> list[Any]:
    await follower.catch_up()
    _, answer = await follower.ask(lambda ask: ask(text, {}))
    return list(answer.rows[0])


COUNTS = """SELECT (SELECT count(*) FROM _metrics), (SELECT count(*) FROM _logs),
    (SELECT count(*) FROM _machine_minutes), (SELECT count(*) FROM _machine_hours)"""


async def read(follower: Follower, until: Callable[..., Any], count: int) -> None:
    """Return when what `say` has said is in the database."""

    async def so() -> bool:
        return (await figures(follower, COUNTS))[:2] == [count, 2]

    await until(so)


async def say(user: Any, count: int) -> None:
    """A task that has ended, with a curve and two lines, and samples of three hours ago."""
    task = await user.live((await user.add()).task)
    await user.points(task, *(float(n) for n in range(count)))
    await user.lines(task, "one", "two")
    for minute in range(5):
        made = sample(since_noon() - 3 * 3600 + 60 * minute)
        data, id = wire.encode_sample(made), os.urandom(8).hex()
        await user.bus.samples.publish(subjects.samples(made.agent), data, id)


async def test_each_day_what_is_too_old_goes(
    user: Any, until: Callable[..., Any], tmp_path: Path
) -> None:
    days = Days()
    await say(user, 5000)
    async with projecting(user, tmp_path, AGES, days) as follower:

        async def summed_up() -> bool:
            return (await figures(follower, COUNTS))[3] > 0

        await read(follower, until, 5000)
        await until(summed_up)
        assert await days.nap() == FIRST_SECONDS
        days.pass_by(0)
        assert await days.nap() == EVERY_SECONDS
        assert await wishes(user) == [], "nothing is old"
        before = await figures(follower, COUNTS)
        assert before[:2] == [5000, 2]

        days.pass_by(31)
        assert await days.nap() == EVERY_SECONDS
        (wish,) = await wishes(user)
        assert wish.by == "projector"
        assert wish.event == Trimmed(
            reason="trim_metrics=90d, trim_logs=30d, trim_minutes=50d",
            telemetry=2,
            metrics=days.at - 90 * DAY * SECOND,
            logs=days.at - 30 * DAY * SECOND,
            minutes=days.at - 50 * DAY * SECOND,
        )

        async def without_lines() -> bool:
            return await figures(follower, COUNTS) == [5000, 0, *before[2:]]

        await until(without_lines)
        days.pass_by(1)
        assert await days.nap() == EVERY_SECONDS
        assert len(await wishes(user)) == 1, "nothing more is old"

        days.pass_by(60)
        assert await days.nap() == EVERY_SECONDS

        async def outline() -> bool:
            points, lines, minutes, hours = await figures(follower, COUNTS)
            return 0 < points <= MOST_POINTS and (lines, minutes, hours) == (0, 0, before[3])

        await until(outline)
        assert len(await wishes(user)) == 2


@pytest.mark.parametrize(
    ("ages", "left"),
    [
        (Ages(metrics=AGES.metrics), "lines"),
        (Ages(logs=AGES.logs), "points"),
    ],
)
async def test_what_no_setting_names_stays(
    user: Any, until: Callable[..., Any], tmp_path: Path, ages: Ages, left: str
) -> None:
    days = Days()
    await say(user, 5000)
    async with projecting(user, tmp_path, ages, days) as follower:
        await read(follower, until, 5000)
        await days.nap()
        days.pass_by(1000)
        await days.nap()
        (wish,) = await wishes(user)
        assert (wish.event.metrics is None, wish.event.logs is None) == (
            ages.metrics is None,
            ages.logs is None,
        )

        async def carried_out() -> bool:
            points, lines, *_ = await figures(follower, COUNTS)
            return (points < 5000, lines == 0) == (left == "lines", left == "points")

        await until(carried_out)


async def test_while_the_server_is_away_it_looks_again_in_a_minute(
    own_user: Any, own_nats_server: Any, until: Callable[..., Any], tmp_path: Path
) -> None:
    days = Days()
    await say(own_user, 2000)
    async with projecting(own_user, tmp_path, AGES, days) as follower:
        await read(follower, until, 2000)
        await days.nap()
        own_nats_server.kill()
        days.pass_by(100)
        assert await days.nap() == 60.0
        own_nats_server.start()
        while (nap := await _again(days)) == 60.0:
            pass
        assert nap == EVERY_SECONDS
        assert len(await wishes(own_user)) == 1


async def _again(days: Days) -> float:
    days.pass_by(0)
    return await days.nap()


def test_the_settings_reach_the_process() -> None:
    ages = '{"metrics": 7776000.0, "logs": null, "minutes": 86400.0}'
    assert parse(["--store", "/s", "--trim", ages])[2] == Ages(metrics=90.0 * DAY, minutes=DAY)
    assert parse(["--store", "/s"])[2] is None


async def evq(login: Any, home: Path, *words: str) -> dict[str, Any]:
    """The JSON that a verb prints."""
    env = {name: value for name, value in os.environ.items() if "EVQ" not in name}
    env |= {"HOME": str(home), "EVQ_SERVER": login.server, "EVQ_TOKEN": login.token}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "evq.cli.main", *words, "--json",
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


async def test_minutes_go_when_they_are_told_to(
    projector: Any, user: Any, until: Callable[..., Any], nats_server: Any, tmp_path: Path
) -> None:
    await projector.start()
    await say(user, 10)

    async def hours() -> list[list[Any]]:
        return await user.sql("SELECT ts, readings FROM machine_hours ORDER BY ts")

    async def would_go(age: str) -> int:
        told = await evq(nats_server.login, tmp_path, "trim", "--minutes", age)
        assert told["seq"] is None
        return int(told["minutes"])

    async def summed_up() -> bool:
        return await would_go("1h") > 0

    await until(summed_up)
    before = await hours()
    assert await would_go("1d") == 0
    reason = ("--apply", "--reason", "the disk is small")
    told = await evq(nats_server.login, tmp_path, "trim", "--minutes", "1h", *reason)
    (wish,) = await wishes(user)
    assert told["seq"] and wish.event.reason == "the disk is small"
    assert (wish.event.metrics, wish.event.logs) == (None, None)

    async def gone() -> bool:
        return await would_go("1h") == 0

    await until(gone)
    assert await hours() == before
    assert len(await user.ask("logs", task=(await user.ask("tasks"))[0]["task"])) == 2
