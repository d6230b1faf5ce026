"""`evq up` with a real nats-server: its start, its faults, its end, and who may talk to it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evq.cli.stack import up
from evq.cli.stack.embedded import Door, Tls, greeting
from evq.cli.stack.store import Store
from evq.core.errors import (
    AlreadyUp,
    Conflict,
    EvqError,
    UsageError,
)
from evq.core.sdk.identity import Identity, born
from evq.core.sdk.running import Up
from evq.core.sdk.settings import load

SECONDS = 20.0

# A process that tells its life to a pipe: it lives, it was asked to end, could it still
# reach the server then?
STAND_IN = """
import os, signal, socket, sys
name, pipe = sys.argv[1:]
port = int(os.environ["EVQ_SERVER"].rpartition(":")[2])
def tell(word):
    with open(pipe, "a") as out:
        out.write(f"{name} {word} {os.getpid()}\\n")
def end(number, frame):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        tell("ends-with-server")
    except OSError:
        tell("ends-alone")
    sys.exit()
signal.signal(signal.SIGTERM, end)
tell("lives")
while True:
    signal.pause()
"""

# `evq up` with stand-ins for the projector and the agent.
UPPER = """
import sys
from pathlib import Path
from evq.cli.stack import serve
from evq.core.listening import Address
from evq.cli.stack.stack import Process

store, stand_in, pipe = map(Path, sys.argv[1:])

def beside(plan, door):
    env = serve.child_environment(plan, door)
    def one(name, order):
        argv = (sys.executable, "-P", str(stand_in), name, str(pipe))
        return Process(name=name, argv=argv, env=env, stop_order=order)
    return [one("projector", 2), one("agent", 1)]

plan = serve.Plan(store=store, listen=Address("127.0.0.1", 0))
serve.serve(plan, beside, ready=lambda up: print("ready", flush=True), say=print)
"""


class Lives:
    """What the stand-ins tell, line by line."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR)
        self._rest = b""

    def next(self) -> list[str]:
        """The next line, in words."""
        while b"\n" not in self._rest:
            assert select.select([self._fd], [], [], SECONDS)[0], "nothing was told"
            self._rest += os.read(self._fd, 4096)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().split()

    def close(self) -> None:
        os.close(self._fd)


class Upper:
    """A running `evq up` with stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.lives = Lives(folder / "lives")
        self._folder = folder
        self._program = folder / "upper.py"
        self._program.write_text(UPPER)
        (folder / "stand_in.py").write_text(STAND_IN)
        self.begin()

    def begin(self) -> None:
        """Start it, and wait until it is up."""
        arguments = [self.store.path, self._folder / "stand_in.py", self._folder / "lives"]
        self.process = subprocess.Popen(
            [sys.executable, "-P", self._program, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert any(line == "ready\n" for line in self.process.stdout)
        assert [self.lives.next()[:2] for _ in range(2)] in (
            [["projector", "lives"], ["agent", "lives"]],
            [["agent", "lives"], ["projector", "lives"]],
        )

    @property
    def up(self) -> Up:
        found = self.store.up()
        assert found is not None
        return found

    def child(self, name: str) -> Identity:
        """The process of that name, once it runs."""
        found: list[Identity] = []

        def runs() -> bool:
            found[:] = [p.process for p in self.up.processes if p.name == name and p.process]
            return bool(found) and found[0].alive()

        until(runs)
        return found[0]

    def end(self) -> None:
        """End it in order, whatever the test did; then nothing of it may be left."""
        children = self.store.left_behind()
        self.process.terminate()
        self.process.communicate(timeout=SECONDS)
        self.lives.close()
        assert not any(one.process.alive() for one in children if one.process)
        assert self.store.holder() is None and not self.store.record.exists()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that nothing can be made to announce."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.01)


@pytest.fixture
def upper(tmp_path: Path) -> Iterator[Upper]:
    running = Upper(tmp_path)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user with no server and no settings, and his store."""
    for name in ("EVQ_SERVER", "NATS_URL", "NATS_CONTEXT", "EVQ_TOKEN", "NATS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EVQ_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "store"


def ask(up: Up, login: dict[str, Any]) -> bytes:
    """What the server answers to a login, over a plain socket."""
    host, _, port = up.url.removeprefix("nats://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.recv(4096)
        connection.sendall(b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")
        return connection.recv(4096)


def test_who_has_no_token_is_refused(upper: Upper) -> None:
    assert b"Authorization Violation" in ask(upper.up, {"verbose": False})
    assert b"Authorization Violation" in ask(upper.up, {"auth_token": "guess"})
    assert b"PONG" in ask(upper.up, {"auth_token": upper.up.token, "verbose": False})
    for secret in ("token", "up.json"):
        assert stat.S_IMODE((upper.store.path / secret).stat().st_mode) == 0o600
    assert stat.S_IMODE(upper.store.path.stat().st_mode) == 0o700


def test_the_token_stands_in_no_argument_list(upper: Upper) -> None:
    for name in ("nats-server", "projector", "agent"):
        arguments = Path(f"/proc/{upper.child(name).pid}/cmdline").read_bytes()
        assert upper.up.token.encode() not in arguments


def test_commands_find_the_running_store(upper: Upper, alone: Path) -> None:
    found = load()
    assert (found.settings.server, found.settings.token) == (upper.up.url, upper.up.token)
    assert str(found.origins["server"]) == f"running store {alone}"


def test_a_second_up_is_refused(upper: Upper) -> None:
    with pytest.raises(AlreadyUp) as caught, upper.store.hold():
        pytest.fail("two processes hold one store")
    error = caught.value
    assert upper.up.url in error.what and str(upper.process.pid) in error.why
    assert "evq down" in error.fix


@pytest.mark.parametrize("name", ["nats-server", "agent"])
def test_a_killed_process_is_started_again(upper: Upper, name: str) -> None:
    before, url = upper.child(name), upper.up.url
    before.signal(signal.SIGKILL)
    assert before.wait(SECONDS)
    until(lambda: any(p.name == name and p.restarts == 1 for p in upper.up.processes))
    assert upper.child(name) != before
    if name == "agent":
        assert upper.lives.next()[:2] == ["agent", "lives"]
    until(lambda: next(p.state for p in upper.up.processes if p.name == name) == "running")
    assert upper.up.url == url
    assert b"PONG" in ask(upper.up, {"auth_token": upper.up.token, "verbose": False})


def test_the_end_is_in_order(upper: Upper) -> None:
    upper.process.terminate()
    assert upper.lives.next()[:2] == ["agent", "ends-with-server"]
    assert upper.lives.next()[:2] == ["projector", "ends-with-server"]
    assert upper.process.wait(SECONDS) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_a_killed_up_leaves_nothing_and_can_be_brought_up_again(upper: Upper) -> None:
    names = ("nats-server", "projector", "agent")
    url, children = upper.up.url, [upper.child(name) for name in names]
    upper.process.kill()
    upper.process.communicate()
    assert all(child.wait(SECONDS) for child in children)
    assert {upper.lives.next()[0] for _ in range(2)} == {"projector", "agent"}
    assert upper.store.up() is None and upper.store.left_behind()
    upper.begin()
    assert upper.up.url == url


def test_what_a_killed_up_left_alive_is_ended_first(upper: Upper) -> None:
    """As on systems that do not tell children of a parent's death."""
    upper.process.kill()
    upper.process.communicate()
    for _ in range(2):
        upper.lives.next()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as orphan:
        left = json.loads(upper.store.record.read_text())
        left["processes"][0]["process"] = {"pid": orphan.pid, "born": born(orphan.pid)}
        upper.store.record.write_text(json.dumps(left))
        upper.begin()
        assert orphan.wait(SECONDS) == -signal.SIGTERM


def run(*arguments: str, command: Any = up.up) -> Any:
    """Run a command in this process; what it raises is raised."""
    result = CliRunner().invoke(command, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


SERVER_ALONE = ("-d", "--no-agent", "--no-projector", "--no-ui", "--listen", "127.0.0.1:0")


@pytest.fixture
def down(alone: Path) -> Iterator[Store]:
    store = Store(alone)
    yield store
    holder = store.holder()
    run(command=up.down)
    assert holder is None or not holder.alive()
    assert not store.record.exists()


def test_in_the_background(down: Store) -> None:
    assert "not up" in run(command=up.status).output
    assert down.up() is None
    brought = run(*SERVER_ALONE)
    found = down.up()
    assert found is not None and found.url in brought.output
    assert found.token not in brought.output

    facts = json.loads(run("--json", command=up.status).output)
    assert (facts["answers"], facts["durable"], facts["server"]) == (True, True, found.url)
    assert facts["origin"] == f"running store {down.path}"
    assert [(p["name"], p["state"]) for p in facts["processes"]] == [("nats-server", "running")]
    shown = run(command=up.status)
    assert found.url in shown.output and "durable  yes" in shown.output
    assert found.token not in shown.output and shown.exit_code == 0

    with pytest.raises(AlreadyUp, match="already up at nats://"):
        run(*SERVER_ALONE)
    assert "is down" in run(command=up.down).output
    assert not found.process.alive()
    assert "nothing is up" in run(command=up.down).output
    assert run("--json", command=up.status).exit_code == 3


def test_the_server_is_not_durable_if_one_says_so(down: Store) -> None:
    run(*SERVER_ALONE, "--sync", "2m")
    assert json.loads(run("--json", command=up.status).output)["durable"] is False
    assert "up to 2m" in run(command=up.status).output


def test_a_server_that_does_not_start_says_why(down: Store) -> None:
    down.prepare()
    down.nats.rmdir()
    down.nats.mkdir(mode=0o700)
    (down.nats / "jetstream").write_text("a file where a folder must be")
    with pytest.raises(EvqError) as caught:
        run(*SERVER_ALONE)
    error = caught.value
    assert error.exit_code == 3 and "nats-server did not start" in error.what
    assert "exit status 1" in error.why and "Can't start JetStream" in error.why
    assert "[INF]" not in error.why
    assert str(down.logs) in error.fix
    assert down.holder() is None


def test_a_port_that_was_asked_for_and_is_taken(down: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Conflict) as caught:
            run("-d", "--no-agent", "--no-projector", "--no-ui", "--listen", address)
    assert address in caught.value.what and "in use" in caught.value.why


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-keyout key.pem -out cert.pem -subj /CN=evq -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    cert, key = str(folder / "cert.pem"), str(folder / "key.pem")
    return Tls(cert, key, cert)


def tls_options(tls: Tls) -> tuple[str, ...]:
    return ("--tls-cert", tls.cert, "--tls-key", tls.key, "--tls-ca", tls.ca)


async def test_with_tls(down: Store, certificate: Tls) -> None:
    run(*SERVER_ALONE, *tls_options(certificate))
    found = down.up()
    assert found is not None and found.url.startswith("tls://127.0.0.1:")
    assert load().settings.ca == certificate.ca
    port = int(found.url.rpartition(":")[2])
    welcome = await greeting(Door("127.0.0.1", port, found.token, certificate.ca))
    assert welcome and welcome["tls_required"]
    assert await greeting(Door("127.0.0.1", port, "guess", certificate.ca)) is None
    assert await greeting(Door("127.0.0.1", port, found.token)) is None


def test_a_certificate_for_another_name(down: Store, certificate: Tls) -> None:
    listen = ("-d", "--no-agent", "--no-projector", "--no-ui", "--listen", "localhost:0")
    with pytest.raises(UsageError) as caught:
        run(*listen, *tls_options(certificate))
    assert "localhost" in caught.value.what and "--listen NAME:PORT" in caught.value.fix
    assert down.holder() is None


def test_nobody_listens_to_the_world_without_tls(down: Store) -> None:
    with pytest.raises(UsageError) as caught:
        run("--listen", "0.0.0.0:0")
    assert "--tls-cert FILE --tls-key FILE --tls-ca FILE" in caught.value.fix
    with pytest.raises(UsageError) as missing:
        run("--listen", "0.0.0.0:0", "--tls-cert", __file__)
    assert "--tls-key is missing" in missing.value.what
