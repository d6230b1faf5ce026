"""What holds for every verb: help, errors in one layout, exit statuses, colours, pipes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from evq.cli.failure import unforeseen, wants_json
from evq.cli.main import cli, unknown_verb
from evq.cli.options import wanted_color
from evq.cli.verbs import OTHER_WORDS, PLACES, SECTIONS

ESCAPE = "\x1b["


async def test_help_lists_every_verb_in_its_section(lone_evq: Any) -> None:
    result = await lone_evq("--help")
    assert result.status == 0
    assert result.err == ""
    order = [result.out.index(f"\n{title}:\n") for title in SECTIONS]
    assert order == sorted(order)
    for name in PLACES:
        assert f"\n  {name} " in result.out


async def test_help_loads_nothing_but_click(lone_evq: Any) -> None:
    program = (
        "import sys\nfrom evq.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'nats','rich','duckdb','msgspec','asyncio','evq.cli.submit.run'}"
        " & {*sys.modules}), file=sys.stderr)"
    )
    argv = [lone_evq.argv()[0], "-c", program]
    done = await asyncio.to_thread(
        subprocess.run, argv, env=lone_evq.env, capture_output=True, text=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", PLACES)
def test_every_verb_says_what_it_is_for_and_gives_an_example(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command and command.help
    assert command.help.partition("\n")[0].rstrip().endswith((".", ":"))
    if name not in ("up", "down", "status"):
        assert f"  evq {name}" in command.help or f" {name} " in command.help


@pytest.mark.parametrize("word", OTHER_WORDS)
def test_words_of_other_tools_lead_to_ours(word: str) -> None:
    assert OTHER_WORDS[word] in PLACES
    assert word not in PLACES
    assert repr(OTHER_WORDS[word]) in str(unknown_verb(word))


async def test_a_mistyped_verb_is_guessed(lone_evq: Any) -> None:
    result = await lone_evq("enqeue", "train.py")
    assert result.status == 2
    assert result.out == ""
    assert result.err == (
        "error[E01]: there is no verb 'enqeue'; did you mean 'enqueue'?\nfix: evq enqueue --help\n"
    )


async def test_a_mistyped_option_is_guessed(lone_evq: Any) -> None:
    result = await lone_evq("ls", "--jso")
    assert result.status == 2
    assert "error[E01]: no such option '--jso'" in result.err
    assert "--json" in result.err
    assert result.err.endswith("fix: evq ls --help\n")


async def test_an_error_is_json_if_json_was_asked_for(lone_evq: Any) -> None:
    result = await lone_evq("show", "--json")
    assert result.status == 3
    assert result.out == ""
    error = json.loads(result.err)["error"]
    assert error["code"] == "E02"
    assert set(error) == {"code", "what", "why", "fix"}
    assert "evq up -d" in error["fix"]


def test_json_behind_the_dashes_is_the_tasks_own() -> None:
    assert wants_json(["run", "--json"])
    assert not wants_json(["run", "x.py", "--", "--json"])


async def test_no_server_is_status_3(evq: Any) -> None:
    result = await evq("--server", "nats://127.0.0.1:1", "logs")
    assert result.status == 3
    assert result.err.startswith("error[E02]: cannot reach a NATS server at nats://127.0.0.1:1\n")


async def test_global_options_may_follow_the_verb(evq: Any) -> None:
    result = await evq("config", "server", "--server", "nats://127.0.0.1:7")
    assert (result.status, result.out) == (0, "nats://127.0.0.1:7\n")


async def test_a_wrong_login_is_status_6(evq: Any) -> None:
    result = await evq("workers", env={"EVQ_TOKEN": "wrong"})
    assert result.status == 6
    assert result.err.startswith("error[E05]: ")


async def test_a_task_that_is_not_there_is_status_4(evq: Any) -> None:
    result = await evq("show", "0" * 12)
    assert result.status == 4
    assert result.err.startswith(f"error[E03]: there is no task {'0' * 12}\n")


async def test_a_projector_that_is_not_there_is_said(evq: Any) -> None:
    result = await evq("ls")
    assert result.status == 3
    assert result.err.startswith("error[E21]: no projector answers questions\n")


async def test_debug_adds_a_traceback(lone_evq: Any) -> None:
    plain, loud = await lone_evq("show"), await lone_evq("show", "--debug")
    assert "Traceback" not in plain.err
    assert loud.err.startswith("Traceback")
    assert loud.err.endswith(plain.err)
    assert (plain.status, loud.status) == (3, 3)


def test_a_bug_is_called_one() -> None:
    try:
        raise ZeroDivisionError("one by zero")
    except ZeroDivisionError as caught:
        error = unforeseen(caught)
    assert error.code == "E00"
    assert "evq has a bug: ZeroDivisionError: one by zero" in error.what
    assert "--debug" in error.fix


async def test_a_full_disk_is_no_bug(lone_evq: Any) -> None:
    with Path("/dev/full").open("wb") as full:
        process = await asyncio.create_subprocess_exec(
            *lone_evq.argv("config"),
            stdout=full,
            stderr=subprocess.PIPE,
            env=lone_evq.env,
            cwd=lone_evq.cwd,
        )
        _, err = await process.communicate()
    assert process.returncode == 1
    refused = b"error[E00]: this machine refuses what evq needs: No space left on device\nfix: "
    assert err.startswith(refused) and len(err.splitlines()) == 2


async def test_version(lone_evq: Any) -> None:
    result = await lone_evq("--version")
    assert result.out.startswith("evq ")


async def test_a_reader_that_left_is_no_error(lone_evq: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(
        *lone_evq.argv("config"),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=lone_evq.env,
        cwd=lone_evq.cwd,
    )
    os.close(writing)
    _, err = await process.communicate()
    assert (process.returncode, err) == (141, b"")


async def test_evq_alone_prints_its_help(lone_evq: Any) -> None:
    result = await lone_evq()
    assert result.status == 2
    assert result.err == (await lone_evq("--help")).out


@pytest.mark.parametrize(
    ("wish", "environment", "colors"),
    [
        (None, {}, None),
        (None, {"NO_COLOR": "1"}, False),
        (None, {"NO_COLOR": ""}, None),
        (None, {"CLICOLOR": "0"}, False),
        (None, {"FORCE_COLOR": "1"}, True),
        (None, {"CLICOLOR_FORCE": "0"}, None),
        (None, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        ("auto", {"FORCE_COLOR": "1"}, None),
        (None, {"EVQ_COLOR": "never", "FORCE_COLOR": "1"}, False),
    ],
)
def test_who_decides_on_colours(
    wish: str | None, environment: dict[str, str], colors: bool | None
) -> None:
    assert wanted_color(wish, environment) is colors


async def test_colours_only_where_they_are_wanted(lone_evq: Any) -> None:
    assert ESCAPE not in (await lone_evq("nope")).err
    assert ESCAPE in (await lone_evq("--color", "always", "nope")).err
    assert ESCAPE in (await lone_evq("config", "--color", "always")).out
    assert ESCAPE not in (await lone_evq("config", env={"FORCE_COLOR": "1", "NO_COLOR": "1"})).out


async def test_a_terminal_gets_colours(lone_evq: Any) -> None:
    ours, theirs = pty.openpty()
    environment = lone_evq.env | {"COLUMNS": "60", "TERM": "xterm"}
    process = await asyncio.create_subprocess_exec(
        *lone_evq.argv("nope"), stdout=theirs, stderr=theirs, env=environment, cwd=lone_evq.cwd
    )
    os.close(theirs)
    await process.wait()
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert ESCAPE in text
