"""A secret that a task names reaches its command and nothing that is stored or shown."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from evq.core.events import Cause, Outcome
from evq.core.sdk.snapshot import take
from evq.core.spec import Code, Script

HOSTILE = """
import base64, html, json, os, shlex, socket, subprocess, sys, time, urllib.parse
import evq

def print(*words):  # in one piece: a line that is late would be shown as far as it is there
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

token = os.environ["TOKEN"]
data = token.encode()
print("plain", token, "and", token + token)
print("url", urllib.parse.quote(token, safe=""), urllib.parse.quote_plus(token))
print("json", json.dumps({"token": token}), json.dumps(token, ensure_ascii=False))
print("quoted", shlex.quote(token), repr(token), html.escape(token))
print("hex", data.hex(), data.hex().upper())
for before in range(5):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        print("base64", encode(b"user:"[:before] + data + b"tail").decode(), encode(data).decode())
print("address", f"https://me:{token[:4]}other@host/", f"git clone https://{token}@host/x")
print("header", {"Authorization": "Bearer " + "unknown-to-evq"})
for number in range(1, len(data), 3):
    os.write(1, data[:number])
    os.write(1, data[number:] + b" in two\\n")
for byte in data:
    os.write(1, bytes([byte]))
os.write(1, b" in many\\r" + data[:7])
os.write(1, data[7:] + b" over a return\\n")
for line in os.environ["MULTI"].splitlines():
    print("key", line)
os.write(1, b"prompt " + data[:9])
sys.stdin = open(sys.argv[1])
sys.stdin.read()
os.write(1, data[9:] + b" answered\\n")
evq.log({"metric " + token: 1.0})
evq.progress(1, 2, token)
with socket.socket(socket.AF_UNIX) as channel:
    channel.connect(os.environ["EVQ_SOCKET"])
    channel.send(b'{"' + data + b'": ' + data + b'}\\n')
pip = [sys.executable, "-m", "pip", "install", "--retries", "0", "--no-input", "nothing-there",
       "--index-url", "http://me:" + urllib.parse.quote(token, safe="") + "@127.0.0.1:9/simple"]
subprocess.run(pip)
print("args", *pip)
raise RuntimeError("it was " + token)
"""

BACKEND = """
import os
from pathlib import Path
known = "%s"[::-1]
print("set-up says", known)
def get_requires_for_build_wheel(config_settings=None): return []
get_requires_for_build_editable = get_requires_for_build_wheel
def build_wheel(*words): raise RuntimeError("set-up fails with " + known)
build_editable = build_wheel
"""

PYPROJECT = """
[project]
name = "hostile"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


def encodings(value: str) -> Iterator[bytes]:
    """What must be nowhere, made here without a word of the code that is tested."""
    data = value.encode()
    yield from (data, data.hex().encode(), data.hex().upper().encode())
    yield from (quote(value, safe="").encode(), shlex.quote(value).encode())
    yield from (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode())
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Without the characters that it shares with its neighbours.
            yield encode(b"#" * before + data)[4:-4]


@pytest.fixture
def canary() -> str:
    return f"hf_\"/'+é &?{secrets.token_hex(12)}"


@pytest.fixture
def key() -> str:
    return "\n".join(["-----BEGIN-----", secrets.token_urlsafe(48), secrets.token_urlsafe(48)])


async def send(files: dict[str, str], objects: Any, folder: Path) -> Code:
    """A snapshot of these files, in the object store."""
    project = folder / "project"
    project.mkdir()
    for name, text in files.items():
        (project / name).write_text(text)
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    with take(project, None) as snapshot:
        for blob in snapshot.blobs:
            snapshot.write_bundle(blob, folder / blob.name)
            await objects.put(blob.name, folder / blob.name)
    return snapshot.code


async def stored(queue: Any, cache: Path) -> list[bytes]:
    """All that any stream holds, the names of the objects, and what the agent keeps on disk."""
    bus = queue.client.bus
    found = [one.data for one in await bus.log.history("evq.>")]
    records = [one.data for one in await bus.telemetry.history("evqtel.>")]
    lines = [line.encode() for record in records for line in json.loads(record).get("text", ())]
    return [*found, *records, b"\n".join(lines), b"".join(lines), *contents(cache)]


def contents(folder: Path) -> Iterator[bytes]:
    """What stands in the files below a folder in which somebody is at work."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                if (path := Path(place, name)).is_file():
                    yield path.read_bytes()


async def nowhere(queue: Any, agent: Any, *values: str) -> None:
    """Fail if one of the values can be read anywhere, in any encoding."""
    everything = [*await stored(queue, agent.folder / "state"), agent.said.encode()]
    assert [data for data in everything if b"[secret TOKEN]" in data]
    for value in values:
        for form in encodings(value):
            assert not [data for data in everything if form in data], form


async def test_a_hostile_task_cannot_leave_its_secret_behind_by_accident(
    start_agent, queue, gate, monkeypatch, canary, key, plain_python
):
    monkeypatch.setenv("EVQ_SECRET_TOKEN", canary)
    monkeypatch.setenv("TEAM_KEY", key)
    agent = start_agent([queue], "--secrets-env", "TEAM_*").ready()
    task = await queue.enqueue(
        *(plain_python, "-c", HOSTILE, str(gate.path)), secrets=("TOKEN", "MULTI=TEAM_KEY")
    )
    assert await queue.line(task, "prompt") == "prompt "
    await gate.reached()
    gate.open()
    end = (await queue.ended(task)).state
    assert (end.outcome, end.cause) == (Outcome.FAILED, Cause.CODE)
    assert end.evidence == "RuntimeError: it was [secret TOKEN]"
    lines = await queue.lines(task, "o")
    assert lines[0] == "plain [secret TOKEN] and [secret TOKEN][secret TOKEN]"
    assert lines.count("[secret TOKEN] in two") == len(range(1, len(canary.encode()), 3))
    assert "header {'Authorization': 'Bearer [secret]'}" in lines
    assert [line for line in lines if line.startswith("key")] == ["key [secret TEAM_KEY]"] * 3
    assert await queue.points(task) == [("metric [secret TOKEN]", None, 1.0)]
    assert [said.text for said in await queue.progress(task)] == ["[secret TOKEN]"]
    assert any("http://[secret]@127.0.0.1:9" in line for line in lines)
    await nowhere(queue, agent, canary, *key.splitlines()[1:])


async def test_what_set_up_says_is_redacted_and_so_is_its_error(
    start_agent, queue, monkeypatch, canary, tmp_path
):
    password = secrets.token_hex(12)
    monkeypatch.setenv("EVQ_SECRET_TOKEN", canary)
    monkeypatch.setenv("UV_INDEX", f"http://me:{password}@127.0.0.1:9/simple")
    agent = start_agent([queue]).ready()
    backwards = canary[::-1].replace("\\", "\\\\").replace('"', '\\"')
    package = tmp_path / "hostile"
    package.mkdir()
    (package / "backend.py").write_text(BACKEND % backwards)
    (package / "pyproject.toml").write_text(PYPROJECT)
    code = await send({"run.py": "1"}, queue.client.bus.objects, tmp_path)
    said: dict[str, tuple[list[str], str]] = {}
    for requirement in (f"hostile @ file://{package}", "nothing-there"):
        task = await queue.run(
            entry=Script("run.py"),
            code=code,
            manager="uv",
            requirements=(requirement,),
            secrets=("TOKEN",),
        )
        assert task.state.cause is Cause.ENVIRONMENT
        said[requirement[:7]] = await queue.lines(task.id, "s"), task.state.evidence
    lines, evidence = said["hostile"]
    assert any("set-up fails with [secret TOKEN]" in line for line in lines)
    assert "set-up fails with [secret TOKEN]" in evidence
    await nowhere(queue, agent, canary, password)


async def test_a_missing_secret_fails_the_task_before_it_runs(served):
    task = await served.run("true", secrets=("NOWHERE",), retries=3)
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
    assert task.state.evidence.startswith("[E33] this agent has no secret NOWHERE (looked in:")
    (attempt,) = task.attempts
    assert [phase.name for phase in attempt.phases] == ["secrets"] and attempt.launch is None
    assert any(
        "evq" in line or "EVQ_SECRET_NOWHERE" in line for line in await served.lines(task.id)
    )


async def test_a_secret_is_a_variable_of_the_command_alone(
    start_agent, queue, monkeypatch, tmp_path
):
    file = tmp_path / "secrets.toml"
    file.write_text('TOKEN = "value-in-the-file"\n')
    file.chmod(0o600)
    monkeypatch.setenv("EVQ_SECRETS_FILE", str(file))
    monkeypatch.setenv("UNLISTED_TOKEN", "value-in-the-shell")
    monkeypatch.setenv("LISTED", "passed on")
    start_agent([queue], "--secrets-file", str(file), "--pass-env", "LIST*").ready()
    code = "test $MINE = value-in-the-file && env && tr '\\0' '\\n' < /proc/$PPID/environ"
    task = await queue.run("sh", "-c", code, secrets=("MINE=TOKEN",))
    assert task.state.outcome is Outcome.COMPLETED
    lines = await queue.lines(task.id)
    assert lines.count("MINE=[secret TOKEN]") == 1 and "LISTED=passed on" in lines
    assert not [line for line in lines if "UNLISTED" in line or "SECRETS_FILE" in line]
    (phase,) = task.attempts[0].phases
    assert (phase.name, phase.detail) == ("secrets", f"TOKEN ({file})")
