"""An agent before its server is there, and what it says when it cannot begin."""

import subprocess
import sys

import msgspec
import pytest
from msgspec.structs import replace


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start an agent with this login, which need not be one, and some options."""
    started = []

    def run(login, *options):
        monkeypatch.setenv("EVQ_LOGIN", login if isinstance(login, str) else as_json(login))
        folders = ["--state-dir", str(tmp_path / "state"), "--cache-dir", str(tmp_path / "cache")]
        argv = [sys.executable, "-m", "evq.agent", "--queues", "q", *folders, *options]
        started.append(subprocess.Popen(argv, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def as_json(login):
    return msgspec.json.encode(login).decode()


def test_an_agent_waits_for_its_server_and_says_so_once(own_nats_server, start):
    own_nats_server.kill()
    agent = start(own_nats_server.login)
    said = agent.stderr.readline()
    assert f"waiting for the server: cannot reach a NATS server at {own_nats_server.url}" in said
    own_nats_server.start()
    assert "serves q" in agent.stderr.readline()


def test_an_agent_that_must_not_wait_fails(own_nats_server, start):
    own_nats_server.kill()
    agent = start(own_nats_server.login, "--no-wait")
    _, said = agent.communicate(timeout=30)
    assert agent.returncode == 3
    head, why, fix = said.splitlines()
    assert head.startswith("error[E02]: cannot reach a NATS server at")
    assert why.startswith("  ") and fix.startswith("fix: evq up")


def test_an_agent_that_is_not_let_in_does_not_wait(nats_server, start):
    agent = start(replace(nats_server.login, token="wrong"))
    _, said = agent.communicate(timeout=30)
    # A busy server may have let it wait for an answer before.
    error = said[said.index("error[") :]
    assert agent.returncode == 6 and error.startswith("error[E05]: ")


def test_a_login_that_cannot_be_read(start):
    agent = start("no JSON")
    _, said = agent.communicate(timeout=30)
    assert agent.returncode == 2
    assert said.startswith("error[E11]: EVQ_LOGIN cannot be read\n  ")
    assert said.endswith("\nfix: start it by: evq agent\n")
