"""An agent's hours, by a clock in a test's hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from evq.agent.config import Config
from evq.agent.duty import hours
from evq.agent.duty.hours import Hours, find_zone
from evq.core.errors import UsageError

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Said:
    """What an agent would do, and the clock that it looks at."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hours, "LOOK_EVERY", 0.001)
        self.moment = MONDAY
        self.reasons: list[str] = []
        self.given_back = 0
        self._news = asyncio.Event()
        self._hours = Hours(config, lambda: self.moment)

    async def _pause(self, reason: str) -> None:
        self.reasons.append(reason)
        self._news.set()

    def _give_back(self) -> None:
        self.given_back += 1

    async def until_said(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.reasons) < count:
                self._news.clear()
                await self._news.wait()

    def run(self) -> asyncio.Task[None]:
        return asyncio.ensure_future(self._hours.run(self._pause, self._give_back))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        name="me", queues=("q",), state=tmp_path, cache=tmp_path, time_zone="Europe/Berlin",
        schedule="mon-fri 20:00-08:00; sat,sun",
    )  # fmt: skip


async def test_it_pauses_outside_of_its_hours(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Said(config, monkeypatch)
    running = said.run()
    await said.until_said(1)
    assert said.reasons == ["outside its schedule until Mon 2026-03-02 20:00 CET"]
    said.moment += timedelta(hours=7)
    await said.until_said(2)
    said.moment += timedelta(hours=12)
    await said.until_said(3)
    assert said.reasons[1:] == ["", "outside its schedule until Tue 2026-03-03 20:00 CET"]
    assert said.given_back == 0
    running.cancel()


async def test_what_runs_may_be_given_back(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said(replace(config, outside="give-back"), monkeypatch)
    said.moment += timedelta(hours=10)
    running = said.run()
    said.moment += timedelta(hours=10)
    await said.until_said(1)
    await asyncio.sleep(0)
    assert said.given_back == 1
    running.cancel()


def test_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(find_zone("Asia/Kathmandu")) == "Asia/Kathmandu"
    monkeypatch.setenv("TZ", "America/New_York")
    assert str(find_zone("")) == "America/New_York"
    monkeypatch.delenv("TZ")
    assert find_zone("").utcoffset(MONDAY.replace(tzinfo=None)) is not None
    for name in ("Berlin", "../etc/passwd", "Mars/Olympus"):
        with pytest.raises(UsageError, match="there is no time zone"):
            find_zone(name)
