"""Sessions on a real agent: a terminal by the command line, and how they end."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clash import clashing
from starting import PATIENCE

from evq.core.errors import NotFound, UsageError
from evq.core.events import Outcome, Started
from evq.core.sdk.sessions.serving import runs_in_terminal
from evq.core.sdk.sessions.session import session_of, session_spec
from evq.core.sdk.sessions.terminal import SIZE, STATUS, TEXT, piece, read_piece
from evq.core.sdk.tunnels.tunnel import Tunnel
from evq.core.spec import Command, Spec
from evq.core.state import Ended
from evq.core.tunnels.hello import FREE

LEAVE = "--drain-timeout=0.1"


class Terminal:
    """`evq` in a terminal of the test's own."""

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(argv[0], argv, environment)
        os.set_blocking(self.fd, False)
        self.seen = ""
        self.resize(30, 101)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    async def shows(self, pattern: str) -> re.Match[str]:
        """The first place that fits the pattern, when it is on the screen; it counts as read."""
        async with asyncio.timeout(PATIENCE):
            while not (found := re.search(pattern, self.seen)):
                await self._more()
        self.seen = self.seen[found.end() :]
        return found

    async def _more(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self.fd, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
            self.seen += os.read(self.fd, 65536).decode()
        except OSError as error:
            raise AssertionError(f"it ended: {self.seen}") from error
        finally:
            loop.remove_reader(self.fd)

    async def status(self) -> int:
        """Its exit status, when it has ended; what it said until then is in `seen`."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self._more()
        except AssertionError:
            _, status = await asyncio.to_thread(os.waitpid, self.pid, 0)
            self.pid = 0
            return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        os.close(self.fd)
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
async def terminal(nats_server: Any, tmp_path: Path) -> AsyncIterator[Callable[..., Terminal]]:
    """`terminal("session", …)` runs `evq session …` in one."""
    opened: list[Terminal] = []
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("EVQ_", "NATS_", "XDG_"))
    }
    environment = kept | {"EVQ_SERVER": nats_server.url, "EVQ_TOKEN": "test", "TERM": "xterm"}
    environment["NO_COLOR"] = "1"
    (tmp_path / "work").mkdir()

    def start(*words: str) -> Terminal:
        argv = [sys.executable, "-m", "evq.cli.main", *words]
        home = {"HOME": str(tmp_path)}
        opened.append(Terminal(argv, tmp_path / "work", environment | home))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


async def test_a_terminal_from_its_start_to_its_idle_end(
    queue: Any, start_agent: Any, terminal: Any, tmp_path: Path
) -> None:
    start_agent([queue], LEAVE).ready()
    (tmp_path / "work" / "notes.txt").write_text("as sent\n")
    here = terminal("session", "-q", queue.name, "--terminal", "--idle", "6s", "--no-code")
    task = (await here.shows(r"session (\w+) on queue"))[1]
    await here.shows(r"running on")
    await here.shows(r"leaves at once")
    await here.shows(r"\(session\) [\w-]+ # ?|\(session\) [\w-]+ \$ ?")
    here.type("stty size; echo token=[$EVQ_PORT_TOKEN] task=$EVQ_TASK_ID\r")
    assert await here.shows(r"30 101\r\n")
    assert await here.shows(rf"token=\[\] task={task}")
    here.resize(40, 77)
    os.kill(here.pid, signal.SIGWINCH)
    # What is typed may be there before the size, of which a signal tells.
    here.type("until stty size | grep 40.77; do :; done; echo made > made.txt\r")
    await here.shows(r"40 77\r\n")
    # A program that computes is use, however long it says nothing.
    here.type("sleep 8; echo still-$((40 + 2))\r")
    await here.shows(r"still-42")
    here.type("exit 3\r")
    assert await here.status() == 3
    assert f"evq session connect {task}" in here.seen
    ended = (await queue.ended(task)).state
    assert (ended.outcome, ended.outputs) == (Outcome.COMPLETED, {"ended": "idle for 6 s"})
    path = await queue.client.load(task, "changes", tmp_path / "fetched")
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["made.txt"]
    assert "the session ends: idle for 6 s" in await queue.lines(task)


async def test_a_session_is_gone_on_with_and_stopped(
    queue: Any, start_agent: Any, terminal: Any
) -> None:
    start_agent([queue], LEAVE).ready()
    task = await opened(queue)
    here = terminal("session", "connect", task, "--end")
    await here.shows(r"leaves at once")
    here.type("echo in-$EVQ_TASK_ID\r")
    await here.shows(f"in-{task}")
    here.type("exit\r")
    assert await here.status() == 0
    assert (await queue.ended(task)).state.outcome is Outcome.ABORTED


async def test_enter_tilde_dot_leaves_a_shell_that_hangs(
    queue: Any, start_agent: Any, terminal: Any
) -> None:
    start_agent([queue], LEAVE).ready()
    task = await opened(queue)
    here = terminal("session", "connect", task)
    await here.shows(r"leaves at once")
    here.type("trap '' INT; echo hangs; cat /dev/zero > /dev/null\r")
    await here.shows(r"hangs\r\n")
    here.type("\x03")
    for key in "\r~.":
        here.type(key)
    assert await here.status() == 0
    assert f"session {task} goes on" in here.seen
    await queue.client.abort(task)


async def test_who_does_not_know_the_token_gets_no_shell(queue: Any, start_agent: Any) -> None:
    start_agent([queue], LEAVE).ready()
    task = await opened(queue)
    port = session_of(await queue.client.get(task)).port
    async with await queue.client.tunnel(task, port) as tunnel:
        for token, answers in (("", False), ("x" * 32, False), (tunnel.token, True)):
            reader, writer = await asyncio.open_connection(*tunnel.address)
            greeting = {"token": token, "rows": 24, "columns": 80}
            writer.write(json.dumps(greeting).encode() + b"\n")
            if not answers:
                assert await reader.read() == piece(TEXT, b"")
                continue
            writer.write(piece(SIZE, b"[10, 20]"))
            writer.write(piece(TEXT, b"stty size; exit 7\r"))
            said, kind, data = b"", TEXT, b""
            while kind != STATUS:
                said += data
                kind, data = await asyncio.wait_for(read_piece(reader), PATIENCE)
            assert b"10 20" in said and data == b"7"
            writer.close()
    await queue.client.abort(task)


async def test_a_port_that_somebody_else_takes_is_replaced_by_another(
    queue: Any, start_agent: Any
) -> None:
    start_agent([queue], LEAVE).ready()
    spec = Spec(entry=Command(("session",)), name="session", queue=queue.name)
    session = clashing(session_spec(spec, "terminal", 0))
    task = (await queue.client.enqueue(session)).task
    taken = int((await queue.line(task, "somebody else has")).split()[-1])
    await can_be_opened(queue, task)
    async with await queue.client.tunnel(task, FREE) as tunnel:
        assert await said_to("echo in-$((40 + 2)); exit", tunnel) == b"in-42"
        assert tunnel.address[1] != taken
    await queue.client.abort(task)


async def test_sessions_of_one_worker_do_not_meet(queue: Any, start_agent: Any) -> None:
    start_agent([queue], LEAVE, "--slots=4").ready()
    tasks = [await opened(queue) for _ in range(4)]
    for task in tasks:
        async with await queue.client.tunnel(task, FREE) as tunnel:
            assert await said_to("echo in-$EVQ_TASK_ID; exit", tunnel) == f"in-{task}".encode()
    for task in tasks:
        await queue.client.abort(task)


async def said_to(line: str, tunnel: Tunnel) -> bytes:
    """The word that begins with `in-` among what a shell of the session says to a line."""
    reader, writer = await asyncio.open_connection(*tunnel.address)
    greeting = {"token": tunnel.token, "rows": 24, "columns": 200}
    writer.write(json.dumps(greeting).encode() + b"\n" + piece(TEXT, line.encode() + b"\r"))
    said, kind, data = b"", TEXT, b""
    while kind != STATUS:
        said += data
        kind, data = await asyncio.wait_for(read_piece(reader), PATIENCE)
    writer.close()
    return re.findall(rb"in-[a-z0-9]+\b", said)[-1]


async def test_what_runs_in_the_foreground_of_a_terminal_is_seen(
    tmp_path: Path, until: Any
) -> None:
    variables = {"PATH": os.environ["PATH"], "PS1": "at the $((40 + 2)) ", "HOME": str(tmp_path)}
    here = Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], tmp_path, variables)
    try:
        await here.shows("at the 42")
        assert not runs_in_terminal(os.getpid())
        here.type("sh -c 'echo began-$((40 + 2)); exec sleep 1000'\r")
        await here.shows("began-42")  # so that it hears of the ^C, and not a shell on its way to it
        await until(lambda: runs_in_terminal(os.getpid()))
        assert not runs_in_terminal(here.pid)  # its shell is ours
        here.type("\x03")
        await here.shows("at the 42")
        here.type("sleep 1000 & echo behind-$((40 + 2))\r")
        await here.shows("behind-42")
        await here.shows("at the 42")
        assert not runs_in_terminal(os.getpid())
        here.type("kill %1; exec cat\r")  # it is the shell, or its successor
        await until(lambda: b"cat" in Path(f"/proc/{here.pid}/cmdline").read_bytes())
        assert not runs_in_terminal(os.getpid())
    finally:
        here.close()


async def test_a_session_lost_with_its_agent_does_not_run_again(
    queue: Any, start_agent: Any
) -> None:
    agent = start_agent([queue], "--lease", "1").ready()
    task = await opened(queue)
    agent.process.send_signal(signal.SIGKILL)
    start_agent([queue], "--lease", "1").ready()
    ended = await queue.ended(task)
    assert isinstance(ended.state, Ended) and ended.state.outcome is Outcome.FAILED
    assert len(ended.attempts) == 1


async def opened(queue: Any) -> str:
    """A terminal session without code, which never is idle, when one can be there."""
    spec = Spec(entry=Command(("session",)), name="session", queue=queue.name)
    task = str((await queue.client.enqueue(session_spec(spec, "terminal", idle=0))).task)
    await can_be_opened(queue, task)
    return task


async def can_be_opened(queue: Any, task: str) -> None:
    """Return when terminals of a session can be opened, and the log has it that it runs."""
    await queue.event(task, Started)
    await queue.line(task, "terminals can be opened")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("jupyter", {"manager": "none"}),
        ("jupyter", {"manager": "agent"}),
        ("terminal", {"manager": "agent"}),
        ("terminal", {"nodes": 2}),
    ],
)
def test_what_no_session_can_be(kind: Any, changes: dict[str, Any]) -> None:
    spec = msgspec.structs.replace(Spec(entry=Command(("session",))), **changes)
    with pytest.raises(UsageError):
        session_spec(spec, kind, 10)


async def test_another_task_is_no_session(queue: Any) -> None:
    task = await queue.enqueue("true")
    with pytest.raises(NotFound, match="is no session"):
        session_of(await queue.client.get(task))
