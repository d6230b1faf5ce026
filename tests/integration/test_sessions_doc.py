"""The examples of docs/sessions.md, as they stand there, on an `evq up` of their own."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import kept_port
from starting import PATIENCE

DOCUMENT = (Path(__file__).parents[2] / "docs" / "sessions.md").read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.M | re.S)
(PYTHON,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.M | re.S)


class User:
    """Somebody with a folder of his own, in which `evq` is on the PATH."""

    def __init__(self, folder: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVQ_", "NATS_"))}
        self.folder = folder
        self.environment = kept | {"EVQ_STORE": str(folder / "store"), "HOME": str(folder)}
        self.environment["EVQ_CACHE_DIR"] = str(folder / "cache")
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(self, *words: str) -> str:
        """What a command prints on stdout."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self, *words: str) -> Iterator[str]:
        """The first line of a command that goes on, while it does."""
        process = subprocess.Popen(
            words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(PATIENCE)
            process.stdout.close()


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    one = User(tmp_path_factory.mktemp("sessions"))
    one.run("evq", "up", "-d", "--no-ui", "--listen", "127.0.0.1:0")
    yield one
    one.run("evq", "down")


def test_the_examples_of_tunnels(user: User) -> None:
    with kept_port() as number:
        port = str(number)
        enqueue, tunnel = SHELL[1].replace("8765", port).splitlines()
        (user.folder / "work").mkdir()
        user.run(*enqueue.split())
        end = time.monotonic() + PATIENCE
        while state(user, "@") != "running" or not listens(number):
            assert time.monotonic() < end
    with user.running(*tunnel.split()) as url, urllib.request.urlopen(url, timeout=60) as page:
        assert page.status == 200
    said = user.run(sys.executable, "-c", PYTHON.replace("8765", port))
    assert re.match(r"http://127\.0\.0\.1:\d+/ 32\n", said) and "200 OK" in said
    user.run("evq", "abort", "@")


def state(user: User, task: str) -> str:
    """What the log has of a task."""
    return str(json.loads(user.run("evq", "show", task, "--json"))["state"])


def listens(port: int) -> bool:
    """Whether somebody does at this machine's port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def status(url: str) -> int:
    """What is answered at the address; 0 if nobody is there."""
    try:
        with urllib.request.urlopen(url, timeout=60) as page:
            return int(page.status)
    except OSError:
        return 0


async def test_the_example_of_a_free_port(user: User, until: Any) -> None:
    evq, enqueue, *words = shlex.split(SHELL[3])
    task = user.run(evq, enqueue, "--quiet", *words).strip()
    await until(lambda: state(user, task) == "running")
    with user.running("evq", "tunnel", task) as url:
        assert await until(lambda: status(url)) == 200
    user.run("evq", "abort", task)


def test_sessions_are_listed_and_stopped(user: User) -> None:
    made = user.run("evq", "session", "--terminal", "--detach", "--json", "--name", "look")
    task = json.loads(made)["task"]
    end = time.monotonic() + PATIENCE
    while "running" not in (listed := user.run("evq", "session", "ls")):
        assert time.monotonic() < end
    assert task in listed and "look" in listed
    assert task in user.run("evq", "session", "ls", "--json")
    assert user.run("evq", "session", "stop", task) == f"session {task} ends\n"
    end = time.monotonic() + PATIENCE
    while user.run("evq", "session", "ls"):
        assert time.monotonic() < end
