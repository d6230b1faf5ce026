"""`import evq` in a program: the way to a server, and the client that does not await."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import evq
from evq.core.errors import Denied, NotFound, Unreachable
from evq.core.settings import SETTINGS, variable

ECHO = evq.Command(("echo", "hello"))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who knows no server, in a folder of his own."""
    for name, setting in SETTINGS.items():
        for alias in (variable(name), *setting.variables):
            monkeypatch.delenv(alias, raising=False)
    monkeypatch.delenv("NATS_CONTEXT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def known(nowhere: Path, nats_server: Any, bus: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that the environment names."""
    monkeypatch.setenv("EVQ_SERVER", nats_server.url)
    monkeypatch.setenv("EVQ_TOKEN", "test")
    return nats_server


async def test_the_environment_names_the_server(known: Any) -> None:
    async with evq.connect() as client:
        receipt = await client.enqueue(evq.Spec(entry=ECHO))
        task = await client.get(receipt.task)
    assert (task.spec.name, task.spec.queue) == ("echo hello", "default")
    assert task.spec.user and task.spec.host


async def test_what_is_given_wins(known: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVQ_SERVER", "nats://127.0.0.1:1")
    async with evq.connect(known.url, token="test") as client:
        assert await client.queue_names() == set()


async def test_without_a_server_the_error_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(Unreachable, match="no NATS server is known") as caught:
        async with evq.connect():
            pass
    assert "evq up" in caught.value.fix


async def test_a_wrong_login_is_denied(known: Any) -> None:
    with pytest.raises(Denied):
        async with evq.connect(token="wrong"):
            pass


async def test_what_a_task_enqueues_has_it_as_its_parent(
    known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with evq.connect() as client:
        outer = await client.enqueue(evq.Spec(entry=ECHO))
    monkeypatch.setenv("EVQ_TASK_ID", outer.task)
    async with evq.connect() as client:
        inner = await client.enqueue(evq.Spec(entry=ECHO))
        assert (await client.get(inner.task)).spec.parent == outer.task


def test_the_blocking_client(known: Any) -> None:
    with evq.connect_blocking() as client:
        receipt = client.enqueue(evq.Spec(entry=ECHO, key="once"))
        assert client.enqueue(evq.Spec(entry=ECHO, key="once")).new is False
        assert client.abort(receipt.task, "no longer wanted").name_of_state == "aborted"
        with pytest.raises(NotFound):
            client.get("zzzzzzzzzzzz")


async def test_the_blocking_client_where_a_loop_runs(known: Any) -> None:
    with evq.connect_blocking() as client:
        receipt = client.enqueue(evq.Spec(entry=ECHO))
        assert client.get(receipt.task).name_of_state == "queued"


def test_events_are_watched_from_a_sequence_on(known: Any) -> None:
    with evq.connect_blocking() as client:
        first, second = (client.enqueue(evq.Spec(entry=ECHO)) for _ in range(2))
        for seen in client.watch(after=first.seq):
            assert seen.task == second.task
            break


def test_an_interrupt_ends_what_is_waited_for(known: Any) -> None:
    program = (
        "import evq\n"
        "with evq.connect_blocking() as client:\n"
        "    print('up', flush=True)\n"
        "    for seen in client.watch():\n"
        "        pass\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert said.count("Traceback") == 1


def test_a_spec_of_wrong_types_is_refused(known: Any) -> None:
    with evq.connect_blocking() as client:
        with pytest.raises(evq.UsageError) as caught:
            client.enqueue(evq.Spec(entry=ECHO, gpus="two"))  # type: ignore[arg-type]
        assert "gpus" in caught.value.why
        listed = evq.Spec(entry=evq.Command(["echo", "a"]), tags=["a"])  # type: ignore[arg-type]
        assert client.get(client.enqueue(listed).task).spec.tags == ("a",)


def test_what_is_submitted_is_looked_for(known: Any, nowhere: Path) -> None:
    (nowhere / "train.py").write_text("")
    with evq.connect_blocking() as client:
        with pytest.raises(evq.UsageError, match=r"did you mean 'train\.py'"):
            client.submit("trian.py")
        with pytest.raises(TypeError, match="quue"):
            client.submit("train.py", quue="gpu")  # type: ignore[call-arg]
        receipt = client.submit("train.py", ["--lr", 1], params={"lr": 2, "seed": 3}, queue="gpu")
        spec = client.get(receipt.task).spec
        assert spec.entry == evq.Script("train.py", ("--lr", "2"))
        assert (spec.params, spec.queue) == ({"seed": "3"}, "gpu")
        assert spec.code is not None


def test_a_wait_ends_with_the_first_or_in_time(known: Any) -> None:
    with evq.connect_blocking() as client:
        one, two = (client.enqueue(evq.Spec(entry=ECHO)).task for _ in range(2))
        with pytest.raises(TimeoutError):
            client.wait(one, two, timeout=0.05)
        client.abort(two, "enough")
        assert [task.id for task in client.wait(one, two, first=True)] == [two]
        client.abort(one, "enough")
        assert [task.ended and task.ended.outcome for task in client.wait(one, two)] == [
            evq.Outcome.ABORTED
        ] * 2
        with pytest.raises(NotFound):
            client.wait("zzzzzzzzzzzz")


def test_a_clone_has_other_parameters(known: Any) -> None:
    with evq.connect_blocking() as client:
        entry = evq.Command(("train", "--lr", "0.1"))
        task = client.enqueue(evq.Spec(entry=entry, key="once")).task
        copy = client.get(client.clone(task, {"lr": 0.2}, add={"seed": 1}, tags=["b"]).task)
        assert copy.spec.entry == evq.Command(("train", "--lr", "0.2", "--seed", "1"))
        assert (copy.spec.parent, copy.spec.key, copy.spec.tags) == (task, None, ("b",))
        assert copy.spec.name == "train --lr 0.2 --seed 1"
        with pytest.raises(evq.UsageError):
            client.clone(task, {"lr": "fast"})


def test_a_server_that_goes_is_told_of(nowhere: Path, own_nats_server: Any) -> None:
    with (
        pytest.raises(Unreachable),
        evq.connect_blocking(own_nats_server.url, token="test") as client,
    ):
        task = client.enqueue(evq.Spec(entry=ECHO)).task
        own_nats_server.kill()
        client.get(task)
