"""Artifacts in the dashboard: listed, and downloaded as files."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from evq.core import decide
from evq.core.handle import find, handle
from evq.core.sdk import artifacts, carrying

CONTENT = bytes(range(256)) * 40_000


@pytest.fixture
async def task(apart: Any, tmp_path: Path) -> str:
    """A task that has saved a file with a hostile name, and a folder."""
    client = apart.client
    name: str = await apart.enqueue("true")
    (tmp_path / "file").write_bytes(CONTENT)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("a")
    with (tmp_path / "archive").open("wb") as archive:
        carrying.pack(str(tmp_path / "out"), archive)

    async def does(command: decide.Command) -> None:
        await handle(client.bus.log, client.author, await find(client.bus.log, name), command)

    hint = (await client.get(name)).place.hint
    await does(decide.Claim("w", "i", 0, hint, 300.0))
    for called, file, folder in (('b"<i>ä.pt', "file", False), ("out", "archive", True)):
        with (tmp_path / file).open("rb") as opened:
            digest, size = await artifacts.store(client.bus.depot, opened, 2**30)
        holder = decide.Holder("i", 1)
        await does(decide.SaveArtifact(holder, f"best/{called}", digest, size, folder, "nats"))
    return name


@pytest.fixture
async def web(dashboard: Any) -> AsyncIterator[httpx.AsyncClient]:
    token = dashboard.link.partition("token=")[2]
    bearer = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=dashboard.url, headers=bearer, timeout=30) as web:
        yield web


async def test_a_file(web: Any, task: str) -> None:
    where = f"/tasks/{task}/artifacts/best/b%22%3Ci%3E%C3%A4.pt"
    answer = await web.get(where)
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].endswith("''b%22%3Ci%3E%C3%A4.pt")
    assert answer.headers["x-content-type-options"] == "nosniff"
    tag = answer.headers["etag"]
    assert tag == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    rest = await web.get(where, headers={"range": "bytes=1000000-", "if-range": tag})
    assert (rest.status_code, rest.content) == (206, CONTENT[1_000_000:])
    assert rest.headers["content-range"] == f"bytes 1000000-{len(CONTENT) - 1}/{len(CONTENT)}"
    other = await web.get(where, headers={"range": "bytes=1000000-", "if-range": '"old"'})
    assert (other.status_code, other.content) == (200, CONTENT)


async def test_a_folder_and_the_list(web: Any, task: str) -> None:
    answer = await web.get(f"/tasks/{task[:6]}/artifacts/best/out?attempt=1")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == ["a"]
    listed = (await web.get(f"/api/tasks/{task}/artifacts")).json()
    assert [(one["name"], one.get("folder", False)) for one in listed] == [
        ('best/b"<i>ä.pt', False),
        ("best/out", True),
    ]


async def test_what_is_not_there(web: Any, task: str) -> None:
    for path in ("nothing", "best/out?attempt=2", "..%2f..%2fetc%2fpasswd"):
        answer = await web.get(f"/tasks/{task}/artifacts/{path}")
        assert answer.status_code == 404 and "no artifact" in answer.text
    nobody = httpx.AsyncClient(base_url=str(web.base_url), timeout=30)
    async with nobody:
        refused = await nobody.get(f"/tasks/{task}/artifacts/best/out")
        assert refused.status_code in (302, 303, 401, 403)


async def test_the_page_lists_them(page: Any, task: str, dashboard: Any) -> None:
    await page.goto(f"{dashboard.url}/tasks/{task}?tab=artifacts")
    await page.locator(".evq-artifact").nth(1).wait_for()
    text = await page.locator(".evq-artifacts").inner_text()
    assert 'best/b"<i>ä.pt' in text and "best/out/" in text and f"evq get {task}" in text
    async with page.expect_download() as started:
        await page.get_by_text("ä.pt").click()
    download = await started.value
    assert Path(await download.path()).read_bytes() == CONTENT
    assert download.suggested_filename.endswith("ä.pt")
