"""Snapshots compared: what differs is told, and nothing in them is believed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from evq.core.errors import CodeFailed
from evq.core.sdk.compare import comparison
from evq.core.sdk.snapshot import take
from evq.core.spec import Code


async def snapshot(objects: Any, folder: Path, scratch: Path) -> Code:
    """The code in `folder`, stored."""
    with take(folder, None) as taken:
        for blob in taken.blobs:
            taken.write_bundle(blob, scratch / blob.name)
            await objects.put(blob.name, scratch / blob.name)
        return taken.code


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / "a.py").write_text("one\ntwo\n")
    (folder / "data").write_bytes(bytes(range(256)))
    return folder


async def test_files_lines_and_bytes(bus: Any, repository: Path, tmp_path: Path) -> None:
    old = await snapshot(bus.objects, repository, tmp_path)
    (repository / "a.py").write_text("one\n2\n")
    (repository / "b.py").write_text("new\n")
    (repository / "data").unlink()
    new = await snapshot(bus.objects, repository, tmp_path)
    async with comparison(bus.objects, old, new) as both:
        files = {one.path: (one.added, one.removed) for one in await both.files()}
        assert files == {"a.py": (1, 1), "b.py": (1, 0), "data": (None, None)}
        assert "3 files changed" in await both.summary(80)
        assert "-two\n+2\n" in await both.patch(color=False)
        assert "\x1b[" in await both.patch(color=True)


async def test_no_driver_of_the_code_runs(bus: Any, repository: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    driver = f'[diff "x"]\n\ttextconv = touch {marker}\n\tcommand = touch {marker}\n'
    (repository / ".gitattributes").write_text("*.py diff=x filter=x\n")
    (repository / ".gitconfig").write_text(driver)
    old = await snapshot(bus.objects, repository, tmp_path)
    (repository / "a.py").write_text("three\n")
    new = await snapshot(bus.objects, repository, tmp_path)
    async with comparison(bus.objects, old, new) as both:
        assert "+three" in await both.patch(color=False)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["--output=x", "HEAD", "", "a" * 39])
async def test_what_is_no_commit_is_refused(bus: Any, name: str) -> None:
    with pytest.raises(CodeFailed, match="cannot be read"):
        async with comparison(bus.objects, Code(name, ()), Code("b" * 40, ())):
            pass


async def test_bytes_that_are_no_bundle(bus: Any, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"not a bundle")
    await bus.objects.put("bad", tmp_path / "bad")
    with pytest.raises(CodeFailed, match="cannot be compared"):
        async with comparison(bus.objects, Code("a" * 40, ("bad",)), Code("b" * 40, ())):
            pass
