"""Many bytes through a whole agent: from this process over two connections to the server, the
agent and its supervisor's socket to a task's program, and back."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from roundtrip import MEGABYTE, sent_and_back
from starting import PATIENCE

from evq.core.events import Started
from evq.core.spec import Inline

LEAVE = "--drain-timeout=0.1"

ECHO = """\
import hashlib, os, socket, evq
with socket.create_server(("127.0.0.1", evq.port())) as listener:
    print("serving", flush=True)
    while True:
        visitor, _ = listener.accept()
        heard, count = hashlib.sha256(), 0
        try:
            while data := visitor.recv(1 << 16):
                heard.update(data)
                count += len(data)
                visitor.sendall(data)
            print(f"heard {count} {heard.hexdigest()}", flush=True)
        except ConnectionError:
            open(os.environ["CUT"], "w").close()
        visitor.close()
"""


async def echoing(queue: Any, cut: Path) -> str:
    """A task whose program gives back what it hears, when it listens. It makes the file `cut` when
    its connection is reset."""
    spec = {"ports": (0,), "variables": {"CUT": str(cut)}}
    task = str(await queue.enqueue(entry=Inline(ECHO), **spec))
    await queue.event(task, Started)
    await queue.line(task, "serving")
    return task


async def test_fifty_megabytes_go_to_a_task_and_back(served: Any, tmp_path: Path) -> None:
    task = await echoing(served, tmp_path / "cut")
    data = os.urandom(50 * MEGABYTE)
    told: list[str] = []
    async with await served.client.tunnel(task, 0) as tunnel:
        tunnel.notice = told.append
        back = await asyncio.wait_for(sent_and_back(tunnel.address, data), PATIENCE * 4)
    digest = hashlib.sha256(data).hexdigest()
    assert await served.line(task, "heard") == f"heard {len(data)} {digest}"
    assert hashlib.sha256(back).hexdigest() == digest
    assert told == []
    await served.client.abort(task)


async def test_what_the_death_of_the_server_cuts_is_reset_and_has_no_hole(
    apart: Any, own_nats_server: Any, start_agent: Any, until: Any, tmp_path: Path
) -> None:
    start_agent([apart], LEAVE, login=own_nats_server.login).ready()
    task = await echoing(apart, cut := tmp_path / "cut")
    told: list[str] = []
    async with await apart.client.tunnel(task, 0) as tunnel:
        tunnel.notice = told.append
        numbers = _numbers_until_cut(tunnel.address, own_nats_server.kill)
        assert await asyncio.wait_for(numbers, PATIENCE * 4) > 5 * MEGABYTE
        await until(lambda: told and cut.exists())
        assert told == ["the connection to the NATS server broke"]
        await asyncio.to_thread(own_nats_server.start)

        async def again() -> bool:
            try:
                return await sent_and_back(tunnel.address, b"once more") == b"once more"
            except ConnectionError:
                return False

        await until(again)
    digest = hashlib.sha256(b"once more").hexdigest()
    assert await apart.line(task, "heard") == f"heard 9 {digest}"
    await apart.client.abort(task)


async def _numbers_until_cut(address: tuple[str, int], kill: Any) -> int:
    """How many bytes of an endless row of numbers came back whole until the connection was reset:
    the server is killed in the midst of them."""
    reader, writer = await asyncio.open_connection(*address, limit=MEGABYTE)

    async def send() -> None:
        number = 0
        while True:
            writer.write(b"".join(one.to_bytes(8) for one in range(number, number + 8192)))
            number += 8192
            await writer.drain()

    sending = asyncio.ensure_future(send())
    killing: asyncio.Future[None] | None = None
    back = bytearray()
    try:
        with pytest.raises(ConnectionError):
            while data := await reader.read(MEGABYTE):
                back += data
                if killing is None and len(back) > 5 * MEGABYTE:
                    killing = asyncio.ensure_future(asyncio.to_thread(kill))
        whole = len(back) // 8
        assert back[: whole * 8] == b"".join(one.to_bytes(8) for one in range(whole))
    finally:
        sending.cancel()
        await asyncio.gather(sending, *filter(None, [killing]), return_exceptions=True)
        writer.close()
    return len(back)
