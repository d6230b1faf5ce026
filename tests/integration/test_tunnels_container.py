"""Tunnels into containers that have no network but a loopback of their own, and sessions there."""

from __future__ import annotations

import asyncio
import json

from engine import HOST_NETWORK, WITH_PYTHON, containers, needs_engine
from starting import PATIENCE

from evq.core.events import Outcome
from evq.core.sdk.sessions.session import session_of, session_spec
from evq.core.sdk.sessions.terminal import STATUS, TEXT, piece, read_piece
from evq.core.spec import Command, Container, Inline, Spec

pytestmark = needs_engine()

PORT = 8123
SERVE = ("python3", "-um", "http.server", str(PORT), "--bind", "127.0.0.1")


async def test_a_port_on_the_loopback_of_a_container(queue, start_agent, until):
    agent = start_agent([queue], "--drain-timeout=0.1").ready()
    # Both have the same port, each on a loopback of its own.
    for name in ("one", "two"):
        script = f"echo {name} > name; exec {' '.join(SERVE)}"
        wish = {"container": Container(WITH_PYTHON), "ports": (PORT,)}
        task = await queue.enqueue("sh", "-c", script, **wish)
        await queue.line(task, "Serving")
        async with await queue.client.tunnel(task, PORT) as tunnel:
            reader, writer = await asyncio.open_connection(*tunnel.address)
            writer.write(b"GET /name HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(f"\r\n\r\n{name}\n".encode())
            writer.close()
        await queue.client.abort(task)
        await queue.ended(task)
    await until(lambda: not containers(agent))


async def test_a_terminal_in_a_container(queue, start_agent, until):
    agent = start_agent([queue], "--drain-timeout=0.1").ready()
    spec = Spec(
        entry=Command(("session",)),
        name="session",
        queue=queue.name,
        manager="none",
        container=Container(WITH_PYTHON),
    )
    task = (await queue.client.enqueue(session_spec(spec, "terminal", 0))).task
    await queue.line(task, "terminals can be opened")
    port = session_of(await queue.client.get(task)).port
    async with await queue.client.tunnel(task, port) as tunnel:
        reader, writer = await asyncio.open_connection(*tunnel.address)
        greeting = {"token": tunnel.token, "rows": 24, "columns": 80}
        writer.write(json.dumps(greeting).encode() + b"\n")
        writer.write(piece(TEXT, b"ls /.dockerenv && echo in-$((40 + 2)); exit 5\r"))
        said, kind, data = b"", TEXT, b""
        while kind != STATUS:
            said += data
            kind, data = await asyncio.wait_for(read_piece(reader), PATIENCE)
        assert data == b"5" and b"in-42" in said
        writer.close()
    await queue.client.abort(task)
    await queue.ended(task)
    await until(lambda: not containers(agent))


async def test_tools_behind_an_environment_in_a_container(queue, start_agent):
    start_agent([queue], *HOST_NETWORK, "--drain-timeout=0.1").ready()
    code = "import os; print(os.path.exists(os.environ['EVQ_NOTEBOOK_PATH'] + '/six.py'))"
    task = await queue.run(
        entry=Inline(code),
        manager="uv",
        tools=("six==1.17.0",),
        container=Container(WITH_PYTHON),
    )
    assert task.state.outcome is Outcome.COMPLETED, await queue.lines(task.id)
    assert await queue.lines(task.id, "o") == ["True"]
