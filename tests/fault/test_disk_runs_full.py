"""A disk that runs full: the caches go first, then the agent pauses, and goes on by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scene import Scene
from waiting import until

from evq.agent.environments.cache import Cache, Made
from evq.core import subjects, wire
from evq.core.events import AgentPaused, AgentResumed, Claimed, Outcome

MIB = 2**20
DISK_MIB = 64


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, in memory."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "evq-test", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no small disk to be had: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path, left: int) -> None:
    """Write a file so large that only `left` bytes stay free."""
    disk = os.statvfs(path.parent)
    free = disk.f_bavail * disk.f_frsize
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - left)


def cached_environment(cache: Path, size: int) -> str:
    """Put an environment into the cache that takes `size` bytes; returns its key."""
    environments = Cache(cache)
    environments.root.mkdir(parents=True, exist_ok=True)
    folder, held = environments.new_folder("0ld")
    with (folder / "weights").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    environments.publish("0ld", Made(folder=folder.name, python="3", packages=(), bytes=size))
    held.release()
    return folder.name


async def told(scene: Scene, kind: type[Any]) -> Any:
    """The first event of that kind that agent one tells of itself."""

    async def find() -> Any:
        history = await scene.client.bus.log.history(subjects.agent_events("one"))
        events = [getattr(wire.decode(stored.data), "event", None) for stored in history]
        return next((event for event in events if isinstance(event, kind)), None)

    return await until(find, f"{kind.__name__} told")


async def test_an_agent_pauses_on_a_full_disk_and_goes_on_with_room(
    scene: Scene, disk: Path
) -> None:
    await scene.agent("one", "--cache-dir", str(disk), "--disk-floor", str(8 * MIB))
    fill(disk / "somebody-elses", left=4 * MIB)
    paused = await told(scene, AgentPaused)
    assert paused.reason.startswith("disk: 4MiB free at ") and "floor 8MiB" in paused.reason
    task = await scene.enqueue()

    async def listed(reason: str) -> bool:
        return [agent.paused for agent in await scene.client.agents()] == [reason]

    await until(lambda: listed(paused.reason), "listed as paused")
    assert Claimed not in map(type, scene.history(task))
    (disk / "somebody-elses").unlink()
    assert (await scene.end(task)).outcome is Outcome.COMPLETED
    resumed = await told(scene, AgentResumed)
    assert resumed.reason == f"after {paused.reason}"
    await until(lambda: listed(""), "listed as at work")
    await scene.verdict()


async def test_the_caches_go_before_an_agent_pauses(scene: Scene, disk: Path) -> None:
    environment = cached_environment(disk, 20 * MIB)
    await scene.agent("one", "--cache-dir", str(disk), "--disk-floor", str(8 * MIB))
    fill(disk / "somebody-elses", left=4 * MIB)
    await until(lambda: not (disk / "environments" / environment).exists(), "pruned")
    assert (await scene.end(await scene.enqueue())).outcome is Outcome.COMPLETED
    history = await scene.client.bus.log.history(subjects.agent_events("one"))
    assert b"agent_paused" not in b"".join(stored.data for stored in history)
    await scene.verdict()
