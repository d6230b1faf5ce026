"""A session with JupyterLab, installed once: in a browser, in its kernel, and its idle end."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from clash import clashing
from playwright.async_api import async_playwright, expect
from starting import PATIENCE
from websockets.asyncio.client import ClientConnection, connect

from evq.core.events import Outcome, Started
from evq.core.sdk.following import Happened, follow
from evq.core.sdk.sessions.session import session_of, session_spec
from evq.core.spec import Command, Spec
from evq.core.state import Running, Task
from evq.core.tunnels.hello import FREE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IDLE = 10.0

INSTALLED = """\
import importlib.util, six, os
print(six.__version__, importlib.util.find_spec("jupyterlab") is None or "behind", os.getcwd())
open("result.txt", "w").write("from the kernel")
"""


COMPUTING = f"""\
import os, time
began = time.monotonic()
while not os.path.exists("go") or time.monotonic() - began < {IDLE * 1.6}:
    time.sleep(0.1)
print("done")
"""


async def execute(kernel: ClientConnection, code: str) -> str:
    """What a kernel writes for some code, when it has run it."""
    id = uuid.uuid4().hex
    head = {"msg_id": id, "msg_type": "execute_request", "username": "", "session": id}
    message = {
        "header": head | {"version": "5.3", "date": ""},
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": True},
        "buffers": [],
        "channel": "shell",
    }
    await kernel.send(json.dumps(message))
    said = ""
    async with asyncio.timeout(PATIENCE * 4):
        while True:
            answer = json.loads(await kernel.recv())
            if answer["parent_header"].get("msg_id") != id:
                continue
            if answer["msg_type"] in ("stream", "error"):
                said += answer["content"].get("text", "") + answer["content"].get("evalue", "")
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return said


SILENT = f"sleep {IDLE * 1.6}; echo still-$((40 + 2))\r"


async def shows(terminal: ClientConnection, word: str) -> None:
    """Return when a terminal of Jupyter shows the word."""
    said = ""
    async with asyncio.timeout(PATIENCE * 2):
        while word not in said:
            kind, *text = json.loads(await terminal.recv())
            said += text[0] if kind == "stdout" else ""


async def running(queue: Any, task: str) -> Task:
    """The task when its command has started; Jupyter is installed before that."""
    async with (
        asyncio.timeout(400),
        aclosing(follow(queue.client.bus, await queue.client.get(task))) as items,
    ):
        async for item in items:
            if isinstance(item, Happened) and isinstance(item.task.state, Running):
                return item.task
    raise AssertionError(await queue.lines(task))


async def look(link: str) -> None:
    """Open the link in a browser, and see the launcher with the task's kernel."""
    if CHROMIUM is None:
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=["--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1200, "height": 800})
        await page.goto(link, timeout=PATIENCE * 1000)
        kernel = page.get_by_role("button", name="of the task").first
        await expect(kernel).to_be_visible(timeout=PATIENCE * 1000)
        await browser.close()


@pytest.mark.timeout(600)
async def test_a_session_with_jupyter(
    queue: Any, start_agent: Any, send: Any, until: Any, tmp_path: Path
) -> None:
    start_agent([queue]).ready()
    files = {"train.py": "print('hello')\n", "requirements.txt": "six==1.17.0\n"}
    spec = Spec(
        entry=Command(("session",)), name="session", queue=queue.name, code=await send(files)
    )
    spec = session_spec(spec, "jupyter", IDLE)
    task = (await queue.client.enqueue(spec)).task
    try:
        port = session_of(await running(queue, task)).port
        async with await queue.client.tunnel(task, port) as tunnel:
            address = {"base_url": tunnel.url, "trust_env": False, "timeout": PATIENCE}
            async with httpx.AsyncClient(**address) as web:

                async def answers() -> bool:
                    try:
                        return (await web.get("/api", timeout=5)).status_code == 200
                    except httpx.TransportError:
                        return False

                await until(answers)
                assert (await web.get("/api/kernels")).status_code == 403
                web.headers["Authorization"] = f"token {tunnel.token}"
                names = [one["name"] for one in (await web.get("/api/contents")).json()["content"]]
                assert {"train.py", "requirements.txt"} <= set(names)
                made = (await web.post("/api/kernels", json={})).json()
                where = f"{tunnel.url.replace('http', 'ws')}api/kernels/{made['id']}/channels"
                login = {"Authorization": f"token {tunnel.token}"}
                async with connect(where, additional_headers=login, proxy=None) as kernel:
                    said = await execute(kernel, INSTALLED)
                    assert said.startswith("1.17.0 ") and str(tmp_path) in said
                    # A kernel that computes is use, though nothing is said.
                    computing = asyncio.ensure_future(execute(kernel, COMPUTING))
                    await look(f"{tunnel.url}lab?token={tunnel.token}")
                    text = {"type": "file", "format": "text", "content": ""}
                    assert (await web.put("/api/contents/go", json=text)).status_code == 201
                    assert await computing == "done\n"
                # So is a program in a terminal.
                name = (await web.post("/api/terminals", json={})).json()["name"]
                where = f"{tunnel.url.replace('http', 'ws')}terminals/websocket/{name}"
                async with connect(where, additional_headers=login, proxy=None) as terminal:
                    await terminal.send(json.dumps(["stdin", SILENT]))
                    await shows(terminal, "still-42")
            # The tunnel is open, and nobody does anything.
            ended = (await queue.ended(task)).state
        assert (ended.outcome, ended.outputs) == (Outcome.COMPLETED, {"ended": "idle for 10 s"})
        path = await queue.client.load(task, "changes", tmp_path / "fetched")
        assert (path / "result.txt").read_text() == "from the kernel"
        assert tunnel.token not in repr([await queue.envelopes(task), await queue.records(task)])
        await it_takes_another_port(queue, spec, until)
    finally:
        if (await queue.client.get(task)).ended is None:
            await queue.client.abort(task)
            await queue.ended(task)


async def it_takes_another_port(queue: Any, spec: Spec, until: Any) -> None:
    """If somebody else has that of a session before Jupyter has started."""
    task = (await queue.client.enqueue(clashing(spec))).task
    await queue.event(task, Started)
    await queue.line(task, "somebody else has")
    await queue.line(task, "it is given")
    async with await queue.client.tunnel(task, FREE) as tunnel:

        async def answers() -> bool:
            async with httpx.AsyncClient(base_url=tunnel.url, trust_env=False) as web:
                web.headers["Authorization"] = f"token {tunnel.token}"
                try:
                    return (await web.get("/api/kernels", timeout=1)).json() == []
                except httpx.TransportError:
                    return False

        await until(answers)
    await queue.client.abort(task)
    await queue.ended(task)
