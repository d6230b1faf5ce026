"""Tasks that use evq themselves: who is given a login, with which Python, and who sees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evq.cli.stack import embedded
from evq.core.bus.connect import Login, connect
from evq.core.events import Cause
from evq.core.fleet.services import QUEUE
from evq.core.queueing.queues import QueuePaused
from evq.core.sdk.client import Client
from evq.core.sdk.waiting import explain
from evq.core.spec import Inline, Module

ENQUEUES = """
import evq

with evq.connect_blocking() as client:
    receipt = client.enqueue(evq.Spec(entry=evq.Command(("echo", "made")), name="child"))
    print("child", receipt.task)
"""
"""Its queue and its parent follow from where it runs."""


async def test_a_task_enqueues_another_one(start_agent: Any, queue: Any) -> None:
    start_agent([queue], "--allow-client", "--slots", "2").ready()
    task = await queue.run(entry=Inline(ENQUEUES), manager="agent", client=True)
    assert task.name_of_state == "completed", await queue.lines(task.id)
    child = (await queue.line(task.id, "child")).split()[1]
    spec = (await queue.ended(child)).spec
    assert (spec.parent, spec.queue) == (task.id, queue.name)
    assert await queue.lines(child, "o") == ["made"]


async def test_the_agents_python_is_the_one_that_it_runs_with(start_agent: Any, queue: Any) -> None:
    start_agent([queue]).ready()
    code = "import evq, sys; print(sys.executable, evq.__file__)"
    task = await queue.run(entry=Inline(code), manager="agent")
    import evq

    assert await queue.lines(task.id, "o") == [f"{sys.executable} {evq.__file__}"]
    made = task.attempts[0].environment
    assert (made.manager, made.key) == ("agent", "")
    assert "evq" in {package.name for package in made.packages}
    module = await queue.run(entry=Module("evq.cli.main", ("--version",)), manager="agent")
    assert (await queue.lines(module.id, "o"))[0].startswith("evq ")
    found = await queue.run("sh", "-c", "command -v python3", manager="agent")
    assert await queue.lines(found.id, "o") == [str(Path(sys.executable).with_name("python3"))]


async def test_a_task_still_says_its_metrics(start_agent: Any, queue: Any) -> None:
    start_agent([queue]).ready()
    task = await queue.run(entry=Inline("import evq; evq.log({'loss': 1})"), manager="agent")
    assert await queue.points(task.id) == [("loss", None, 1.0)]


async def test_without_being_allowed_it_is_refused_at_once(start_agent: Any, queue: Any) -> None:
    agent = start_agent([queue]).ready()
    task = await queue.run("true", client=True, retries=5)
    assert task.state.cause == Cause.ENVIRONMENT and len(task.attempts) == 1
    assert f"agent {agent.name} gives tasks no login" in task.state.evidence
    assert any("--allow-client" in line for line in await queue.lines(task.id))


async def test_who_does_not_ask_is_given_nothing(start_agent: Any, queue: Any) -> None:
    start_agent([queue], "--allow-client").ready()
    task = await queue.run("sh", "-c", "env | grep -E '^EVQ_(SERVER|TOKEN)=' || echo nothing")
    assert await queue.lines(task.id, "o") == ["nothing"]


async def test_why_names_the_agents_that_would_refuse_it(
    start_agent: Any, queue: Any, until: Any
) -> None:
    agent = start_agent([queue], "--services").ready()
    await queue.client.bus.prepare()

    async def present() -> Any:
        return [one for one in await queue.client.agents() if one.agent == agent.name]

    (known,) = await until(present)
    assert known.services and not known.client  # `evq agent --services` adds --allow-client itself
    await queue.client.change_queue(QueuePaused(queue.name, "for a look"))
    task = await queue.enqueue("true", client=True)
    explained = await explain(queue.client, await queue.client.get(task))
    assert any("lacks a login to the server" in reason.text for reason in explained.reasons)


class Guarded:
    """A server on which the agent and its tasks are two users."""

    def __init__(self, folder: Path) -> None:
        self._port = embedded.Port(embedded.Address("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._port.number}"
        config = folder / "guarded.conf"
        config.write_text(
            f"listen: 127.0.0.1:{self._port.number}\n"
            f'jetstream {{ store_dir: "{folder / "store"}" }}\n'
            "authorization { users: [\n"
            "  { user: agent, password: password-of-the-agent }\n"
            "  { user: tasks, password: password-of-the-tasks,\n"
            "    permissions: {\n"
            '      publish: ["evq.>", "evqsvc.>", "evqcmd.>", "$JS.API.>", "$KV.evq-queues.>"]\n'
            '      subscribe: "_INBOX.>"\n'
            "    } }\n"
            "] }\n"
        )
        argv = (str(embedded.find_server(None).path), "-c", str(config))
        self._process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def login(self, user: str) -> Login:
        return Login(server=self.url, user=user, password=f"password-of-the-{user}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._port.release()


@pytest.fixture
def guarded_server(tmp_path: Path) -> Iterator[Guarded]:
    server = Guarded(tmp_path)
    yield server
    server.close()


async def test_the_login_is_another_one_and_nobody_sees_it(
    start_agent: Any,
    queue: Any,
    guarded_server: Guarded,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    until: Any,
) -> None:
    tasks = guarded_server.login("tasks")
    monkeypatch.setenv("EVQ_CLIENT_LOGIN", msgspec.json.encode(tasks).decode())
    ours = guarded_server.login("agent")
    agent = start_agent(
        [type(queue)(queue.client, QUEUE)], "--allow-client", "--keep", "300", login=ours
    ).ready()
    async with connect(ours, "test", patience=30) as bus:
        apart = type(queue)(Client(bus), QUEUE)
        script = 'echo "as $EVQ_USER with $EVQ_PASSWORD"; echo "$EVQ_PASSWORD" >&2; exit 3'
        task = await apart.run("sh", "-c", script, client=True)
        assert task.state.exit_code == 3
        assert await apart.lines(task.id, "o") == ["as tasks with [secret EVQ_PASSWORD]"]
        assert await apart.lines(task.id, "e") == ["[secret EVQ_PASSWORD]"]
        made = await apart.run(entry=Inline(ENQUEUES), manager="agent", client=True)
        assert made.name_of_state == "completed", await apart.lines(made.id)
        history = await bus.log.history("evq.>")
        told = b"".join(stored.data for stored in history)
        assert b"password-of" not in told
    kept = list((tmp_path / "state").rglob(f"{task.id}-1.json"))
    for path in kept:
        assert "password-of" not in path.read_text()
    assert kept and "password-of" not in agent.said
