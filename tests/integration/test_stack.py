"""Processes that are kept running: their start, their restarts, their logs, their end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from evq.cli.stack.stack import (
    LONGEST_PAUSE,
    ROTATE_BYTES,
    Process,
    Stack,
    StartFailed,
    follow,
    pause_after,
    rotate,
)
from evq.cli.stack.store import check_disk, filesystem
from evq.core.errors import UsageError
from evq.core.sdk.identity import Identity, born

SECONDS = 20.0

STUBBORN = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"not yet\\n"))
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"nor now\\n"))
os.write(1, b"here\\n")
while True:
    signal.pause()
"""
"""One signal may come while the other is handled: what is written has no buffer."""


def python(code: str, *stop: tuple[signal.Signals, float]) -> Process:
    return Process(
        name="it",
        argv=(sys.executable, "-c", code),
        env=dict(os.environ),
        stop_order=1,
        stop=stop or ((signal.SIGTERM, SECONDS),),
    )


class Runs:
    """A stack that runs in the background of a test."""

    def __init__(self, process: Process, logs: Path) -> None:
        self.stack = Stack([process], logs, self._changed)
        self.member = self.stack.members[0]
        self.stop = asyncio.Event()
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self._news = asyncio.Event()
        self._run = asyncio.create_task(self.stack.run(self.stop, lambda: None))
        self._follow = asyncio.create_task(follow(self.member, self.lines.put_nowait))

    def _changed(self) -> None:
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def line(self) -> str:
        async with asyncio.timeout(SECONDS):
            return await self.lines.get()

    @property
    def identity(self) -> Identity:
        found = self.member.record.process
        assert found is not None
        return found

    async def end(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self._run
        self._follow.cancel()
        await asyncio.gather(self._follow, return_exceptions=True)


async def test_the_impatient_skip_the_wait(tmp_path: Path) -> None:
    runs = Runs(python(STUBBORN, (signal.SIGTERM, 3600.0), (signal.SIGINT, 3600.0)), tmp_path)
    assert await runs.line() == "it          here"
    process = runs.identity
    assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    runs.stop.set()
    assert await runs.line() == "it          not yet"
    runs.stop.set()
    assert await runs.line() == "it          nor now"
    runs.stop.set()
    await runs.end()
    assert not process.alive() and runs.member.record.last_exit == -signal.SIGKILL


async def test_who_does_not_end_is_ended(tmp_path: Path) -> None:
    runs = Runs(python(STUBBORN, (signal.SIGTERM, 0.01), (signal.SIGINT, 0.01)), tmp_path)
    await runs.line()
    runs.stop.set()
    await runs.end()
    assert runs.member.record.last_exit == -signal.SIGKILL


async def test_a_crash_is_told_and_healed(tmp_path: Path) -> None:
    runs = Runs(python("import sys; sys.exit('no such model')"), tmp_path)
    lines = [await runs.line() for _ in range(4)]
    await runs.until(lambda: runs.member.restarts == 2)
    runs.stop.set()
    await runs.end()
    said = "it          no such model"
    pauses = [f"it          evq up: ended with exit status 1, again in {p} s" for p in (0.25, 0.5)]
    assert lines == [said, pauses[0], said, pauses[1]]


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = python("import sys; sys.exit('no such model')")
    process = Process(name="it", argv=process.argv, env=process.env, stop_order=1, ready=never)
    with pytest.raises(StartFailed) as caught:
        await Stack([process], tmp_path).run(asyncio.Event(), lambda: None)
    assert "it did not start" in caught.value.what
    assert "exit status 1" in caught.value.why and "no such model" in caught.value.why
    assert str(tmp_path / "it.log") in caught.value.fix


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    process = Process(name="it", argv=(str(tmp_path / "no"),), env={}, stop_order=1)
    with pytest.raises(StartFailed) as caught:
        await Stack([process], tmp_path).run(asyncio.Event(), lambda: None)
    assert "No such file" in caught.value.why and caught.value.fix


async def test_an_end_while_it_starts(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    process = python("import signal; signal.pause()")
    process = Process(name="it", argv=process.argv, env=process.env, stop_order=1, ready=never)
    runs = Runs(process, tmp_path)
    await runs.until(lambda: runs.member.state == "starting")
    child = runs.identity
    runs.stop.set()
    await runs.end()
    assert not child.alive()


def test_pauses_grow_to_a_limit() -> None:
    assert [pause_after(n) for n in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert pause_after(1000) == LONGEST_PAUSE


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_text("small")
    rotate(log)
    assert log.exists()
    with log.open("r+b") as file:
        file.truncate(ROTATE_BYTES + 1)
    rotate(log)
    assert not log.exists() and (tmp_path / "it.log.1").stat().st_size == ROTATE_BYTES + 1


MOUNTS = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:40 / /home rw - nfs4 head:/home rw
31 22 0:41 / /dev/shm rw - tmpfs tmpfs rw
32 22 0:42 / /with\\040blank rw - cifs //x rw
"""


def test_a_store_wants_a_disk_of_this_machine() -> None:
    assert filesystem(Path("/homework"), MOUNTS) == "ext4"
    assert check_disk(Path("/var/tmp/evq"), MOUNTS) is None
    assert "reboot" in (check_disk(Path("/dev/shm/evq"), MOUNTS) or "")
    for path in ("/home/me/evq", "/with blank/evq"):
        with pytest.raises(UsageError) as caught:
            check_disk(Path(path), MOUNTS)
        assert caught.value.why and "--store" in caught.value.fix


def test_a_number_that_changed_hands_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        stale = Identity(other.pid, "long ago")
        stale.signal(signal.SIGKILL)
        assert stale.wait(SECONDS)
        assert Identity(other.pid, born(other.pid)).alive()
        other.communicate(b"\n")
        assert other.returncode == 0


async def test_one_that_may_rest_is_left_alone_when_it_ended_in_order(tmp_path: Path) -> None:
    said = "print('here', flush=True)"
    runs = Runs(msgspec.structs.replace(python(said), may_rest=True), tmp_path)
    await runs.until(lambda: runs.member.record.last_exit == 0)
    await runs.until(lambda: runs.member.state == "stopped")
    assert runs.member.record.restarts == 0
    runs.stop.set()
    await runs.end()


async def test_one_that_may_rest_is_started_again_after_a_crash(tmp_path: Path) -> None:
    runs = Runs(msgspec.structs.replace(python("raise SystemExit(3)"), may_rest=True), tmp_path)
    await runs.until(lambda: runs.member.restarts == 1)
    runs.stop.set()
    await runs.end()
