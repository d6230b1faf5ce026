"""Tunnels to tasks of a real agent: what can be reached, and what happens when one end goes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ports import kept_port
from starting import PATIENCE

from evq.cli.stack import embedded
from evq.core.bus.connect import Login, connect
from evq.core.errors import Conflict, Denied, TunnelFailed
from evq.core.events import Outcome, Started
from evq.core.sdk.client import Client
from evq.core.sdk.connect import open_client
from evq.core.sdk.tunnels import tunnel as tunnels
from evq.core.spec import Inline

LEAVE = "--drain-timeout=0.1"

SERVER = """\
import http.server, os, socketserver
class Server(http.server.ThreadingHTTPServer):
    address_family = 2
    request_queue_size = 100
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["EVQ_PORT_TOKEN"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
server = Server(("127.0.0.1", PORT), Handler)
print("serving " + os.environ["EVQ_PORT_TOKEN"], flush=True)
server.serve_forever()
"""


async def serving(queue: Any, **spec: Any) -> tuple[str, int]:
    """A task that serves its token at a port, when it does."""
    with kept_port() as port:
        entry = Inline(SERVER.replace('("127.0.0.1", PORT)', f'("127.0.0.1", {port})'))
        task = await queue.enqueue(entry=entry, ports=(port,), **spec)
        await runs(queue, task, "serving")
        return task, port


async def runs(queue: Any, task: str, word: str) -> None:
    """Return when a task has said the word, and the log has it that it runs."""
    await queue.event(task, Started)
    await queue.line(task, word)


async def fetch(address: tuple[str, int]) -> str:
    """The body of the page at an address; empty if the connection is broken off."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.read()).decode().rpartition("\r\n\r\n")[2]
    except ConnectionError:
        return ""
    finally:
        writer.close()


async def test_a_declared_port_is_reached_and_its_token_is_in_no_log(served: Any) -> None:
    task, port = await serving(served)
    async with await served.client.tunnel(task, port) as tunnel:
        token = await fetch(tunnel.address)
        assert token == tunnel.token and len(token) > 20
        pages = await asyncio.gather(*(fetch(tunnel.address) for _ in range(50)))
        assert pages == [token] * 50
    await served.line(task, f"tunnel to port {port} for ")
    assert "serving [secret EVQ_PORT_TOKEN]" in await served.lines(task)
    assert token not in repr([await served.envelopes(task), await served.records(task)])
    await served.client.abort(task)


async def test_each_attempt_has_another_token(served: Any) -> None:
    first, one = await serving(served)
    second, two = await serving(served)
    async with (
        await served.client.tunnel(first, one) as here,
        await served.client.tunnel(second, two) as there,
    ):
        assert here.token != there.token
    for task in (first, second):
        await served.client.abort(task)


async def test_a_port_that_is_not_declared_is_refused_by_both_ends(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, port = await serving(served)
    with pytest.raises(TunnelFailed, match="does not let port 1 be reached") as caught:
        await served.client.tunnel(task, 1)
    assert caught.value.code == "E36" and str(port) in caught.value.why
    monkeypatch.setattr(tunnels, "_attempt_of", lambda task, port: task.live)
    with pytest.raises(TunnelFailed, match="does not let port 1 be reached"):
        await served.client.tunnel(task, 1)
    await served.client.abort(task)


FREE = """\
import socket, sys, evq
def serve(word):
    with socket.create_server(("127.0.0.1", evq.port())) as listener:
        print(f"serving {word}", flush=True)
        visitor, _ = listener.accept()
        visitor.recv(100)
        visitor.sendall(b"\\r\\n\\r\\n" + word)
        visitor.close()
print("up", flush=True)
sys.stdin.read()
serve(b"first")
serve(b"second")
"""


async def test_a_free_port_is_the_one_that_the_task_was_given_last(served: Any, gate: Any) -> None:
    command = f"{gate.wait} | {sys.executable} -c '{FREE}'"
    task = await served.enqueue("sh", "-c", command, ports=(0,))
    await runs(served, task, "up")
    told: list[str] = []
    async with await served.client.tunnel(task, 0) as tunnel:
        tunnel.notice = told.append
        assert await fetch(tunnel.address) == ""
        assert told == ["the task has not asked for its free port yet"]
        await gate.reached()
        gate.open()
        for word in ("first", "second"):
            await served.line(task, f"serving b'{word}'")
            assert await fetch(tunnel.address) == word
    await served.line(task, "tunnel to the free port for ")


async def test_who_has_declared_no_free_port_is_given_none(served: Any) -> None:
    task = await served.run(sys.executable, "-c", "import evq; evq.port()", ports=(8888,))
    assert task.state.outcome is Outcome.FAILED
    assert "has no free port" in "".join(await served.lines(task.id))


async def test_a_task_that_does_not_run_is_not_reached(queue: Any) -> None:
    task = await queue.enqueue("true", ports=(8888,))
    with pytest.raises(Conflict, match="does not run"):
        await queue.client.tunnel(task, 8888)


async def test_where_nothing_listens_the_reason_is_told(served: Any, gate: Any) -> None:
    told: list[str] = []
    with kept_port() as port:
        task = await served.enqueue("sh", "-c", f"echo up; {gate.wait}", ports=(port,))
        await runs(served, task, "up")
        async with await served.client.tunnel(task, port) as tunnel:
            tunnel.notice = told.append
            assert await fetch(tunnel.address) == ""
    assert told == [f"nothing listens on port {port} of the task"]
    await gate.reached()
    gate.open()


async def test_the_end_of_the_task_closes_its_tunnels_with_the_reason(
    served: Any, until: Any
) -> None:
    task, port = await serving(served)
    told: list[str] = []
    async with await served.client.tunnel(task, port) as tunnel:
        tunnel.notice = told.append
        link = await tunnel.reach()
        reader, writer = await asyncio.open_connection(*tunnel.address)
        await until(lambda: link.connections)
        await served.client.abort(task)
        with suppress(ConnectionError):  # its program closed it, or the tunnel broke it off
            await asyncio.wait_for(reader.read(), PATIENCE)
        end = await asyncio.wait_for(asyncio.shield(link.over), PATIENCE)
        assert (end.what, end.over) == (f"task {task} is aborted", True)
        assert await fetch(tunnel.address) == ""
        writer.close()
    assert told and "does not run" in told[-1]


async def test_a_killed_agent_leaves_no_connection_open(
    queue: Any, start_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evq.core.sdk.tunnels import link as links

    monkeypatch.setattr(links, "PING_SECONDS", 0.1)
    monkeypatch.setattr(links, "SILENCE_SECONDS", 7.0)
    agent = start_agent([queue], LEAVE).ready()
    task, port = await serving(queue)
    async with await queue.client.tunnel(task, port) as tunnel:
        link = await tunnel.reach()
        reader, writer = await asyncio.open_connection(*tunnel.address)
        writer.write(b"GET ")
        agent.process.send_signal(signal.SIGKILL)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        assert "silent" in (await link.over).what
        writer.close()


async def test_after_a_restart_of_the_server_new_connections_go_through(
    apart: Any, own_nats_server: Any, start_agent: Any, until: Any
) -> None:
    start_agent([apart], LEAVE, login=own_nats_server.login).ready()
    task, port = await serving(apart)
    async with await apart.client.tunnel(task, port) as tunnel:
        token = await fetch(tunnel.address)
        reader, writer = await asyncio.open_connection(*tunnel.address)
        await until(lambda: tunnel._link and tunnel._link.connections)
        own_nats_server.restart()
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        with suppress(ConnectionError):  # broken off, or it came through
            await asyncio.wait_for(reader.read(), PATIENCE * 2)
        writer.close()

        async def again() -> bool:
            return await fetch(tunnel.address) == token

        await until(again)


@pytest.fixture
def users(tmp_path: Path) -> Iterator[Callable[[str], Login]]:
    """Logins at a server with permissions: `admin`, and `viewer`, who may ask for no tunnel."""
    with kept_port() as port:
        config = tmp_path / "users.conf"
        config.write_text(
            f"listen: 127.0.0.1:{port}\n"
            f'jetstream {{ store_dir: "{tmp_path / "store"}" }}\n'
            "authorization { users: [\n"
            "  { user: admin, password: secret }\n"
            "  { user: viewer, password: secret,\n"
            '    permissions: { publish: { deny: ["evqtun.>"] } } }\n'
            "] }\n"
        )
        argv = (str(embedded.find_server(None).path), "-c", str(config))
        process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        url = f"nats://127.0.0.1:{port}"
        yield lambda name: Login(server=url, user=name, password="secret")
        process.terminate()
        process.wait(PATIENCE)


@asynccontextmanager
async def admin_of(login: Login, queue: Any) -> AsyncIterator[Any]:
    async with connect(login, "test", patience=PATIENCE) as bus:
        await bus.prepare()
        yield type(queue)(Client(bus), "q")


async def test_who_may_not_ask_for_tunnels_is_refused(
    users: Callable[[str], Login], queue: Any, start_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with admin_of(users("admin"), queue) as mine:
        start_agent([mine], LEAVE, login=users("admin")).ready()
        task, port = await serving(mine)
        async with await mine.client.tunnel(task, port) as tunnel:
            assert await fetch(tunnel.address) == tunnel.token
        monkeypatch.setattr(tunnels, "ANSWER_SECONDS", 1.0)
        with pytest.raises(Denied, match="refuses this request"):
            async with open_client(users("viewer")) as viewer:
                assert (await viewer.get(task)).id == task
                await viewer.tunnel(task, port)
