"""Kept folders: they stay as long as they are to, within bounds, and while somebody is inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from evq.agent.attempts import kept
from evq.agent.attempts.kept import Kept, Manifest, manifest_of, read_manifest
from evq.agent.environments.locks import try_hold


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


async def keep(room: Kept, work: Path, name: str, seconds: float = 60.0) -> Path:
    """A folder with a file, kept from the slot's own folder."""
    slot, folder = work / "slot-0", work / name
    slot.mkdir(parents=True)
    (slot / "out.txt").write_text(name)
    manifest = Manifest(task=name, attempt=1, agent="a", folder=str(folder), variables={"A": "1"})
    await room.keep(slot, folder, manifest, seconds)
    return folder


async def test_it_stays_until_it_is_due(work: Path, clock: Clock) -> None:
    room = Kept(work, clock)
    folder = await keep(room, work, "t-1")
    told = read_manifest(manifest_of(folder))
    assert told and (told.until, told.variables) == (1060.0, {"A": "1"})
    assert told.bytes > 0
    assert manifest_of(folder).stat().st_mode & 0o777 == 0o600
    clock.now = 1059.0
    room.sweep()
    assert (folder / "out.txt").read_text() == "t-1"
    clock.now = 1060.0
    room.sweep()
    assert list(work.iterdir()) == []


async def test_the_oldest_make_room(
    work: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_FOLDERS", 2)
    room = Kept(work, clock)
    for number in range(4):
        await keep(room, work, f"t-{number}", 60.0 + number)
    assert sorted(path.name for path in work.iterdir() if path.is_dir()) == ["t-2", "t-3"]
    room.sweep(most_bytes=0)
    assert list(work.iterdir()) == []


async def test_nobody_is_thrown_out(work: Path, clock: Clock) -> None:
    room = Kept(work, clock)
    folder = await keep(room, work, "t-1")
    clock.now = 5000.0
    held = try_hold(folder, shared=True)
    assert held
    with held:
        room.sweep()
        assert (folder / "out.txt").exists()
    room.sweep()
    assert not folder.exists()


async def test_a_new_process_clears_what_nobody_wants(work: Path, clock: Clock) -> None:
    folder = await keep(Kept(work, clock), work, "t-1")
    (work / "t-2").mkdir()
    (work / "t-2" / "half").write_text("")
    (work / "t-3.json").write_text("{")
    (work / "slot-0").mkdir()
    Kept(work, clock).clear()
    assert sorted(path.name for path in work.iterdir()) == ["t-1", "t-1.json"]
    assert (folder / "out.txt").exists()


async def test_what_cannot_be_kept_is_given_up(work: Path, clock: Clock) -> None:
    room = Kept(work, clock)
    manifest = Manifest(task="t", attempt=1, agent="a", folder="x", variables={})
    await room.keep(work / "slot-0", work / "t-1", manifest, 60.0)
    assert not (work / "t-1").exists() and read_manifest(work / "t-1.json") is None
