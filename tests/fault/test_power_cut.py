"""An acknowledged enqueue survives a power cut.

The store lies on an ext4 image. A cut is a copy of the image's file: what the kernel had not
written through is not in it. A disk that lies about its own cache is beyond this test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evq.core.sdk.connect import open_client
from evq.core.spec import Command, Spec

IMAGE_MB = 256


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 image; `disk.parent / "image"` is its file."""
    if os.geteuid() != 0:
        pytest.skip("mounting an image needs root")
    if not (shutil.which("mkfs.ext4") and shutil.which("mount")):
        pytest.skip("mkfs.ext4 or mount is missing")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_MB * 2**20)
    _run("mkfs.ext4", "-q", "-F", str(image))
    try:
        _run("mount", "-o", "loop", str(image), str(folder))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device to be had: {error.stderr.decode().strip()}")
    yield folder
    _run("umount", "-l", str(folder))


async def test_acknowledged_tasks_are_there_after_a_cut(
    disk: Path, tmp_path: Path, make_server: Any
) -> None:
    server = make_server(disk, sync="always")
    spec = Spec(entry=Command(("true",)), name="cut", queue="q", manager="none")
    acknowledged = []
    async with open_client(server.login) as client:
        await client.bus.prepare()
        for _ in range(50):
            acknowledged.append(await client.enqueue(spec))
        acknowledged += await client.enqueue_many([spec] * 50)
        server.pause()
        after = tmp_path / "after"
        shutil.copyfile(tmp_path / "image", after)
        server.resume()
    server.close()

    second = tmp_path / "second"
    second.mkdir()
    _run("mount", "-o", "loop", str(after), str(second))
    try:
        survivor = make_server(second, sync="always")
        async with open_client(survivor.login) as client:
            for receipt in acknowledged:
                task = await client.get(receipt.task)
                assert task.origin == receipt.seq
        survivor.close()
    finally:
        _run("umount", "-l", str(second))
