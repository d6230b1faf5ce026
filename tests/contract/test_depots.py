"""The port `Depot`: contents by digest, whole or not at all, gone on with where they were cut."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import s3

from evq.core.bus.depots import folder, jetstream, source
from evq.core.bus.depots import s3 as s3_depot
from evq.core.bus.depots.folder import FolderDepot
from evq.core.errors import ArtifactFailed, NotFound
from evq.core.ports import Lying

SIZES = (0, 1, 1000, 3000, 40_000, 100_123)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces so small that a few kilobytes are many."""
    monkeypatch.setattr(jetstream, "CHUNK", 1000)
    monkeypatch.setattr(jetstream, "BATCH", 3)
    monkeypatch.setattr(s3_depot, "PART", 5 * 2**20)
    for module in (source, folder):
        monkeypatch.setattr(module, "PIECE", 1500)


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """The variables that lead to a server with S3."""
    with s3.serving() as variables:
        yield variables


@pytest.fixture(params=["memory", "jetstream", "folder", "s3"])
def depot(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A depot of each kind, empty."""
    if request.param == "s3":
        variables = request.getfixturevalue("bucket")
        for name, value in variables.items():
            request.getfixturevalue("monkeypatch").setenv(name, value)
        s3.empty_bucket(variables)
        return s3_depot.S3Depot(f"s3://{s3.BUCKET}/of/evq")
    if request.param == "folder":
        (tmp_path / "depot").mkdir()
        return FolderDepot(tmp_path / "depot")
    if request.param == "memory":
        from evq.core.bus.memory import MemoryBus, MemoryServer

        return MemoryBus(MemoryServer()).depot
    return request.getfixturevalue("jetstream_bus").depot


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(size + seed).randbytes(size)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def put(depot: Any, data: bytes, file: Path) -> str:
    file.write_bytes(data)
    with file.open("rb") as opened:
        await depot.put(digest_of(data), opened)
    return digest_of(data)


async def read(depot: Any, digest: str, start: int = 0) -> bytes:
    return b"".join([piece async for piece in depot.read(digest, start)])


async def listed(depot: Any) -> list[Lying]:
    return [one async for one in depot.all()]


@pytest.mark.parametrize("size", SIZES)
async def test_round_trip(depot: Any, tmp_path: Path, size: int) -> None:
    assert await depot.size(digest_of(content(size))) is None
    digest = await put(depot, content(size), tmp_path / "file")
    assert await depot.size(digest) == size
    assert await read(depot, digest) == content(size)


@pytest.mark.parametrize("start", [0, 1, 999, 1000, 1001, 50_000, 100_122, 100_123])
async def test_is_read_from_any_byte_on(depot: Any, tmp_path: Path, start: int) -> None:
    await put(depot, content(9_999), tmp_path / "other")
    digest = await put(depot, content(100_123), tmp_path / "file")
    assert await read(depot, digest, start) == content(100_123)[start:]


async def test_what_is_absent_is_not_found(depot: Any) -> None:
    with pytest.raises(NotFound):
        await read(depot, digest_of(b"nothing"))


async def test_equal_content_lies_there_once(depot: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        await put(depot, content(5000), tmp_path / name)
    (one,) = await listed(depot)
    assert (one.digest, one.size, one.whole) == (digest_of(content(5000)), 5000, True)


async def test_many_at_once(depot: Any, tmp_path: Path) -> None:
    wanted = [content(20_000, seed) for seed in range(6)]
    await asyncio.gather(
        *(put(depot, data, tmp_path / f"file{n}") for n, data in enumerate(wanted * 2))
    )
    assert [await read(depot, digest_of(data)) for data in wanted] == wanted
    assert len(await listed(depot)) == len(wanted)


class Interrupted(Exception):
    """Nobody stores on."""


class Breaking:
    """A file that breaks off when so many bytes were read."""

    def __init__(self, file: Any, after: int) -> None:
        self._file, self._left = file, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            raise Interrupted
        data: bytes = self._file.read(size)
        self._left -= len(data)
        return data


@pytest.fixture
async def cut(depot: Any, tmp_path: Path) -> AsyncIterator[bytes]:
    """A content of which a part was stored when whoever did it broke off."""
    if depot.__class__.__name__ == "MemoryDepot":
        pytest.skip("what is in memory is stored in one step")
    # S3 takes no part of less than 5 MiB.
    whole, part = (12 * 2**20, 4 * 2**20) if depot.name.startswith("s3") else (60_000, 30_000)
    data = content(whole)
    (tmp_path / "cut").write_bytes(data)
    with (tmp_path / "cut").open("rb") as file, pytest.raises(Interrupted):
        await depot.put(digest_of(data), Breaking(file, part))
    yield data


async def test_a_half_is_not_there(depot: Any, cut: bytes) -> None:
    assert await depot.size(digest_of(cut)) is None
    with pytest.raises(NotFound):
        await read(depot, digest_of(cut))
    (lying,) = await listed(depot)
    assert not lying.whole
    assert 0.3 <= lying.size / len(cut) <= 0.5


async def test_what_was_cut_off_is_gone_on_with(depot: Any, cut: bytes, tmp_path: Path) -> None:
    (before,) = await listed(depot)
    await put(depot, cut, tmp_path / "again")
    assert await read(depot, digest_of(cut)) == cut
    (after,) = await listed(depot)
    assert after.whole
    assert before.size < after.size == len(cut)


async def test_a_half_can_be_removed(depot: Any, cut: bytes, tmp_path: Path) -> None:
    (lying,) = await listed(depot)
    assert await depot.remove(lying)
    assert await listed(depot) == []
    await put(depot, cut, tmp_path / "again")
    assert await read(depot, digest_of(cut)) == cut


async def test_a_file_that_changes_meanwhile_is_refused(depot: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(5000))
    with (tmp_path / "file").open("rb") as file, pytest.raises(ArtifactFailed, match="changed"):
        await depot.put(digest_of(b"what it was before"), file)
    assert await listed(depot) == []


async def test_removed_and_stored_again(depot: Any, tmp_path: Path) -> None:
    for _ in range(3):
        digest = await put(depot, content(5000), tmp_path / "file")
        assert await read(depot, digest) == content(5000)
        (lying,) = await listed(depot)
        assert await depot.remove(lying)
        assert await depot.size(digest) is None
        assert await listed(depot) == []


async def test_what_was_put_again_is_not_removed(depot: Any, tmp_path: Path) -> None:
    digest = await put(depot, content(5000), tmp_path / "file")
    (lying,) = await listed(depot)
    while (await listed(depot))[0].mark == lying.mark:
        # The clock of S3 has only seconds.
        await put(depot, content(5000), tmp_path / "file")
    assert not await depot.remove(lying)
    assert await read(depot, digest) == content(5000)
