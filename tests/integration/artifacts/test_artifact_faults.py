"""What is cut in the middle goes on, and nothing half is ever seen."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from wire import Wire

from evq.core.artifacts import Artifact
from evq.core.bus.depots.folder import FolderDepot
from evq.core.errors import ArtifactFailed
from evq.core.events import ArtifactSaved, Lost, Outcome
from evq.core.sdk import artifacts

MIB = 2**20
LARGE = 96
"""MiB."""

MOST = (LARGE - 16) * MIB
"""Bytes: with so many, a large file is on its way, and cannot have arrived."""

SAVE = f"""
import evq
with open("large", "wb") as file:
    for number in range({LARGE}):
        file.write(bytes([number]) * {MIB})
print(evq.save("large"))
"""


def large_digest() -> str:
    hasher = hashlib.sha256()
    for number in range(LARGE):
        hasher.update(bytes([number]) * MIB)
    return hasher.hexdigest()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root and mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=16m", "evq-test", str(folder)]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk to be had: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
async def far(
    apart: Any, own_nats_server: Any, start_agent: Any, tmp_path: Path
) -> AsyncIterator[tuple[Wire, Any]]:
    """A wire to the server, and an agent at its far end."""
    wire = Wire(own_nats_server.port)
    login = msgspec.structs.replace(own_nats_server.login, server=await wire.open())
    agent = start_agent([apart], login=login, folder=tmp_path / "far")
    await asyncio.to_thread(agent.ready)
    yield wire, agent
    wire.allow()
    agent.terminate()
    await agent.over()
    await wire.close()


async def half_stored(apart: Any, until: Any) -> int:
    """How many bytes lie in the server when a part of the large file does."""
    depot = apart.client.bus.depot

    async def look() -> int:
        found = [one.size for one in [lying async for lying in depot.all()] if not one.whole]
        return sum(found) if sum(found) > 16 * MIB else 0

    size: int = await until(look)
    return size


async def check_stored_once(apart: Any, task: str, tmp_path: Path) -> None:
    client = apart.client
    (lying,) = await artifacts.contents(client.bus, "nats")
    assert lying.whole and lying.size == LARGE * MIB
    assert lying.digest == large_digest()
    with (await client.load(task, "large", tmp_path / "got")).open("rb") as file:
        assert artifacts.digest_of(file) == large_digest()


async def test_an_agent_killed_while_it_saves(
    apart: Any, own_nats_server: Any, far: Any, start_agent: Any, until: Any, tmp_path: Path
) -> None:
    wire, agent = far
    wire.allow(MOST)
    task = await apart.enqueue("python3", "-c", SAVE)
    half = await half_stored(apart, until)
    agent.process.kill()
    wire.cut()
    assert await apart.client.artifacts(task) == {}
    start_agent([apart], login=own_nats_server.login).ready()
    ended = await apart.ended(task)
    assert ended.state.outcome is Outcome.COMPLETED
    assert await apart.event(task, Lost)
    assert half > 0 and await apart.lines(task, "o") == ["large"]
    await check_stored_once(apart, task, tmp_path)


async def test_a_server_killed_while_a_task_saves(
    apart: Any, own_nats_server: Any, far: Any, until: Any, tmp_path: Path
) -> None:
    wire, _ = far
    wire.allow(MOST)
    task = await apart.enqueue("python3", "-c", SAVE)
    await half_stored(apart, until)
    own_nats_server.restart()
    wire.allow()
    assert (await apart.ended(task)).state.outcome is Outcome.COMPLETED
    assert await apart.lines(task, "oa") == ["large"]
    await check_stored_once(apart, task, tmp_path)


async def test_a_server_killed_while_a_task_loads(
    apart: Any, own_nats_server: Any, far: Any, until: Any, tmp_path: Path
) -> None:
    wire, agent = far
    saved = await apart.run("python3", "-c", SAVE)
    wire.allow(MOST)
    place = tmp_path / "in"
    code = f"import evq; print(evq.load('{saved.id}', 'large', to={str(place)!r}).stat().st_size)"
    task = await apart.enqueue("python3", "-c", code)
    cached = (agent.folder / "cache" / "artifacts").glob
    await until(lambda: [one for one in cached("*/.*.part") if one.stat().st_size > 8 * MIB])
    assert not (place / "large").exists()
    own_nats_server.restart()
    wire.allow()
    assert (await apart.ended(task)).state.outcome is Outcome.COMPLETED
    assert await apart.lines(task, "o") == [str(LARGE * MIB)]
    assert os.listdir(place) == ["large"]


async def test_a_disk_that_is_full_when_a_task_loads(
    served: Any, small_disk: Path, plain_python: str
) -> None:
    code = f"""
import evq
open("a", "wb").write(bytes(20 * {MIB}))
evq.save("a")
try:
    evq.load("@", "a", to={str(small_disk)!r})
except RuntimeError as error:
    print(error)
"""
    task = await served.run(plain_python, "-c", code)
    said = await served.lines(task.id, "o")
    assert said[0] == "error[E35]: a cannot be written here: No space left on device"
    assert os.listdir(small_disk) == []


async def test_a_person_goes_on_when_there_is_room_again(
    served: Any, small_disk: Path, plain_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import evq; open('a', 'wb').write(bytes(12 * {MIB})); evq.save('a')"
    task = await served.run(plain_python, "-c", code)
    (small_disk / "other").write_bytes(bytes(8 * MIB))
    with pytest.raises(ArtifactFailed, match="No space"):
        await served.client.load(task.id, "a", small_disk)
    (small_disk / "other").unlink()
    (partial,) = small_disk.iterdir()
    left = partial.stat().st_size
    assert left > 4 * MIB
    starts: list[int] = []
    depot = served.client.bus.depot
    read = depot.read

    def noted(digest: str, start: int = 0) -> AsyncIterator[bytes]:
        starts.append(start)
        found: AsyncIterator[bytes] = read(digest, start)
        return found

    monkeypatch.setattr(depot, "read", noted)
    path = await served.client.load(task.id, "a", small_disk)
    assert path.read_bytes() == bytes(12 * MIB)
    assert starts == [left]
    assert os.listdir(small_disk) == ["a"]


@pytest.fixture
def depot(tmp_path: Path) -> FolderDepot:
    (tmp_path / "depot").mkdir()
    return FolderDepot(tmp_path / "depot")


async def stored(depot: FolderDepot, data: bytes, file: Path) -> Artifact:
    file.write_bytes(data)
    with file.open("rb") as opened:
        digest, size = await artifacts.store(depot, opened, 0)
    return Artifact("a", digest, size, 0, depot=depot.name)


async def test_what_was_damaged_is_not_given(
    depot: FolderDepot, tmp_path: Path, client: Any
) -> None:
    one = await stored(depot, b"weights", tmp_path / "file")
    (file,) = (tmp_path / "depot").glob("??/*")
    file.write_bytes(b"wEights")
    with pytest.raises(ArtifactFailed, match="damaged"):
        await artifacts.download(client.bus, one, tmp_path / "here" / "a")
    assert not (tmp_path / "here" / "a").exists()


async def test_a_partial_file_that_is_wrong_is_fetched_anew(
    depot: FolderDepot, tmp_path: Path, client: Any
) -> None:
    one = await stored(depot, b"weights", tmp_path / "file")
    (tmp_path / f".a.{one.digest[:12]}.part").write_bytes(b"wro")
    await artifacts.download(client.bus, one, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"weights"


async def test_two_who_fetch_the_same_to_one_place(
    depot: FolderDepot, tmp_path: Path, client: Any
) -> None:
    one = await stored(depot, bytes(9 * MIB), tmp_path / "file")
    target = tmp_path / "here" / "a"
    both = [artifacts.download(client.bus, one, target) for _ in range(2)]
    assert await asyncio.gather(*both) == [target, target]
    assert target.read_bytes() == bytes(9 * MIB)
    assert os.listdir(tmp_path / "here") == ["a"]


async def test_a_depot_that_is_not_mounted_is_not_made(client: Any, tmp_path: Path) -> None:
    gone = FolderDepot(tmp_path / "nowhere")
    with pytest.raises(ArtifactFailed, match="cannot be used"):
        await stored(gone, b"weights", tmp_path / "file")
    assert not (tmp_path / "nowhere").exists()


async def test_every_save_is_an_event_of_its_attempt(served: Any, plain_python: str) -> None:
    code = "import evq; open('a', 'w').close(); evq.save('a'); evq.save('a', name='b')"
    task = await served.run(plain_python, "-c", code)
    events = [one.event for one in await served.envelopes(task.id)]
    saved = [one for one in events if isinstance(one, ArtifactSaved)]
    assert [(one.attempt, one.name) for one in saved] == [(1, "a"), (1, "b")]
    assert saved[0].digest == saved[1].digest == hashlib.sha256(b"").hexdigest()
