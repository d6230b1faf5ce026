"""`doctor`, `config`, `completion`, and the verbs that become another room's process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evq.agent.options import parse
from evq.core.bus.connect import Bus


async def test_doctor_finds_all_in_order(evq: Any, played: Any, projector: Any) -> None:
    await played.appear("default")
    async with projector({"status": [{"behind": 0}]}):
        result = await evq("doctor", "--json")
    levels = {one["name"]: one["level"] for one in result.json}
    assert set(levels) == {
        *("python", "git", "uv", "disk", "store"),
        *("server", "streams", "durable", "clock", "projector", "agents"),
    } - {"streams"}
    assert "fail" not in levels.values(), result.out
    assert (levels["projector"], levels["agents"]) == ("ok", "ok")
    assert result.status == 0


async def test_doctor_warns_and_says_what_to_do(evq: Any) -> None:
    result = await evq("doctor")
    assert re.search(r"^warn  projector .*\n +fix: evq projector", result.out, re.M), result.out
    assert re.search(r"^warn  agents .*\n +fix: evq agent", result.out, re.M)
    assert result.status == 0


async def test_doctor_fails_without_a_server(lone_evq: Any) -> None:
    result = await lone_evq("doctor")
    assert re.search(r"^fail  server .*\n +fix: evq up -d", result.out, re.M), result.out
    assert result.status == 1


async def test_doctor_fails_without_git(evq: Any, tmp_path: Path) -> None:
    result = await evq("doctor", "--json", env={"PATH": str(tmp_path)})
    assert {one["name"]: one["level"] for one in result.json}["git"] == "fail"
    assert result.status == 1


async def test_config_shows_values_and_origins_but_no_secrets(evq: Any) -> None:
    result = await evq("config", "--json")
    found = {one["name"]: one for one in result.json}
    assert found["token"] == {
        "name": "token",
        "value": "********",
        "origin": "environment EVQ_TOKEN",
    }
    assert found["queue"]["origin"] == "default"
    assert (await evq("config", "queue")).out == "default\n"
    assert (await evq("config", "nope")).status == 4


async def test_config_follows_colours_of_the_settings(evq: Any) -> None:
    (evq.cwd / "pyproject.toml").write_text('[tool.evq]\ncolor = "always"\n')
    assert "\x1b[" in (await evq("config")).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_scripts(lone_evq: Any, shell: str) -> None:
    result = await lone_evq("completion", shell)
    assert result.status == 0
    assert "_EVQ_COMPLETE" in result.out


async def complete(evq: Any, *words: str) -> list[str]:
    """What bash would be offered for the last of `words`."""
    variables = {
        "_EVQ_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["evq", *words]),
        "COMP_CWORD": str(len(words)),
    }
    result = await evq(env=variables)
    assert result.err == ""
    return [line.partition(",")[2] for line in result.out.split()]


async def test_verbs_options_queues_and_tasks_are_completed(
    evq: Any, bus: Bus, projector: Any, until: Any
) -> None:
    async def offers(wanted: str, *words: str) -> bool:
        return await complete(evq, *words) == [wanted]

    assert await complete(evq, "en") == ["enqueue"]
    assert "--timestamps" in await complete(evq, "logs", "--ti")
    task = (await evq("enqueue", "-q", "training", "--quiet", "--", "true")).out.strip()
    assert await complete(evq, "show", task[:2]) == [task]
    # On a busy machine the server's answer may miss the budget, and then nothing is offered.
    await until(lambda: offers("training", "ls", "-q", "tr"))
    await until(lambda: offers("training", "queue", "tr"))
    row = {"task": "k3f9k3f9k3f9", "state": "failed", "name": "x"}
    async with projector({"tasks": [row]}):
        await until(lambda: offers("k3f9k3f9k3f9", "show", "k3f9k"))


async def test_completion_is_silent_without_a_server(evq: Any) -> None:
    evq.env["EVQ_SERVER"] = "nats://127.0.0.1:1"
    assert await complete(evq, "ls", "-q", "tr") == []


async def test_the_agent_is_started_with_its_settings_and_no_secret_in_its_arguments(
    evq: Any, tmp_path: Path
) -> None:
    words = ("--queues", "a,b", "--order", "round-robin", "--slots", "3", "--name", "gpu-01")
    words += ("--lease", "20s", "--state-dir", str(tmp_path / "s"))
    argv, login = await becomes(evq, tmp_path, "agent", *words)
    assert argv[:4] == [sys.executable, "-P", "-m", "evq.agent"]
    told = parse(argv[4:])
    assert (told.queues, told.order, told.slots) == (("a", "b"), "round-robin", 3)
    assert (told.name, told.lease, told.grace) == ("gpu-01", 20.0, 30.0)
    assert told.on_disconnect == "freeze"
    assert "test" not in argv
    assert (login["server"], login["token"]) == (evq.env["EVQ_SERVER"], "test")


async def test_the_projector_is_started_on_its_store(evq: Any, tmp_path: Path) -> None:
    argv, login = await becomes(evq, tmp_path, "projector", "--store", "here", "--rebuild")
    kept = ["--keep-samples", "172800"]
    assert argv[3:] == ["evq.projector", "--store", str(evq.cwd / "here"), *kept, "--rebuild"]
    assert login["token"] == "test"


async def becomes(evq: Any, folder: Path, *words: str) -> tuple[list[str], dict[str, Any]]:
    """The arguments and the login with which evq would go on as another process."""
    program = (
        "import json, os, sys\n"
        "os.execve = lambda path, argv, env:"
        " (print(json.dumps([argv, env['EVQ_LOGIN']])), sys.exit(0))\n"
        "from evq.cli.main import main\n"
        f"main({list(words)!r})\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env=evq.env,
        cwd=evq.cwd,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    argv, login = json.loads(done.stdout)
    return argv, json.loads(login)


@pytest.mark.parametrize(
    "words",
    [
        ["--queues", "a,a"],
        ["--queues", "a.b"],
        ["--order", "random"],
        ["--slots", "0"],
        ["--lease", "never"],
    ],
)
async def test_an_agent_with_wrong_options_does_not_start(evq: Any, words: list[str]) -> None:
    result = await evq("agent", *words)
    assert result.status == 2
    assert result.err.startswith(("error[E01]: ", "error[E11]: "))


async def test_an_interrupted_verb_says_nothing(evq: Any, bus: Bus) -> None:
    await evq("enqueue", "--quiet", "--", "true")
    async with evq.start("events", "-f") as process:
        assert b"enqueued" in await process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")
