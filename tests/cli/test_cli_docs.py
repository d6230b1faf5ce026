"""Words are checked: every verb, option, error and JSON field stands in the documentation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from evq.cli.main import cli
from evq.cli.options import global_options
from evq.cli.stack import up
from evq.cli.tasks import document
from evq.cli.verbs import SECTIONS
from evq.core import errors
from evq.core.errors import EvqError
from evq.core.state import Task

DOCS = Path(__file__).parents[2] / "docs"
MARK = "# Verbs\n"


def options_of(parameters: list[click.Parameter]) -> Iterator[str]:
    """A line for each option that is not hidden."""
    for one in parameters:
        if isinstance(one, click.Option) and not one.hidden:
            name = ", ".join(f"`{word}`" for word in one.opts)
            value = "" if one.is_flag else f" {one.metavar or one.name.upper()}"
            text = " ".join((one.help or "").split()).replace("|", "\\|")
            yield f"| {name}{value.replace('|', chr(92) + '|')} | {text} |"


def verbs_of(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The verb, and those below it."""
    yield name, command
    if isinstance(command, click.Group):
        yield from ((f"{name} {below}", verb) for below, verb in command.commands.items())


def section(words: str, command: click.Command) -> list[str]:
    """The part about one verb."""
    with click.Context(command, info_name=f"evq {words}") as ctx:
        usage = " ".join(command.collect_usage_pieces(ctx))
    paragraphs = [
        text
        for text in (command.help or "").split("\n\n")
        if not text.lstrip().startswith(("\b", "Example"))
    ]
    lines = ["", f"### evq {words}", "", f"`evq {words} {usage}`"]
    for paragraph in paragraphs:
        lines += ["", " ".join(paragraph.split())]
    if found := list(options_of(command.params)):
        lines += ["", "| option | meaning |", "|---|---|", *found]
    return lines


def reference() -> str:
    """The second part of docs/cli.md."""
    lines = ["## Global options", "", "| option | meaning |", "|---|---|"]
    lines += options_of(global_options(hidden=False))
    for title, verbs in SECTIONS.items():
        lines += ["", f"## {title}"]
        for name in verbs:
            found = cli.get_command(click.Context(cli), name)
            assert found
            for words, command in verbs_of(name, found):
                lines += section(words, command)
    return "\n".join(lines) + "\n"


def test_the_reference_is_what_the_verbs_say() -> None:
    page = DOCS / "cli.md"
    head, mark, body = page.read_text().partition(MARK)
    made = re.match(r"\n.*\n\n", body)
    assert mark and made
    wanted = head + mark + made[0] + reference()
    if os.environ.get("EVQ_WRITE_DOCS"):
        page.write_text(wanted)
    assert page.read_text() == wanted, "EVQ_WRITE_DOCS=1 pytest tests/cli/test_cli_docs.py"


def every_error() -> list[type[EvqError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, EvqError)
    ]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_is_documented(kind: type[EvqError]) -> None:
    heading = f"## {kind.code} {kind.__name__}\n\nExit status {kind.exit_code}. "
    page = (DOCS / "errors.md").read_text()
    assert heading in page
    section = page.partition(heading)[2].partition("\n## ")[0]
    assert "**What to do:** " in section


def test_codes_are_used_once() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)
    written = re.findall(r"^## (E\d\d) ", (DOCS / "errors.md").read_text(), re.M)
    assert written == sorted(codes)


def test_every_exit_status_is_documented() -> None:
    statuses = {kind.exit_code for kind in every_error()} | {75, 124, 130, 141, 143}
    page = (DOCS / "cli.md").read_text()
    for status in statuses:
        assert f"\n| {status} | " in page


def fields(value: Any) -> Iterator[str]:
    """The names of all fields in a JSON document that are evq's own words."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name not in ("params", "variables", "changes", "packages", "event"):
                yield from fields(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from fields(inner)


async def test_every_json_field_is_documented(evq: Any, played: Any, projector: Any) -> None:
    evq.repository()
    await played.appear("default")
    printed: list[Any] = [(await evq("enqueue", "train.py", "--json")).json]
    task = printed[0]["task"]
    await played.runs(task, "hello")
    metric = {"name": "loss", "value": 0.1, "step": 1, "min": 0.1, "max": 1.0, "n": 2}
    remark = {"kind": "param", "name": "lr", "value": "0.1"}
    told = {"metrics": [metric], "remarks": [remark]}
    async with projector({**told, "queues": [], "why": [], "workload": []}):
        for words in (
            ["show"],
            ["wait"],
            ["why"],
            ["queues"],
            ["workers"],
            ["gpus"],
            ["logs"],
            ["events", "-n", "1"],
            ["config"],
            ["clone", task],
            ["diff", task, "@"],
            ["retry", task],
        ):
            printed.append((await evq(*words, "--json")).json)
    head = (DOCS / "cli.md").read_text().partition(MARK)[0]
    documented = set(re.findall(r"`([a-z_]+)`", head))
    undocumented = {name for value in printed for name in fields(value)} - documented
    assert undocumented <= {"args", "path"}  # the parts of an entry


def test_the_facts_are_those_of_the_fold(make_spec: Any) -> None:
    from evq.core.state import Queued

    task = Task("k" * 12, make_spec(), "me@here", 1, 1, Queued(1))
    assert document.task_facts(task)["state"] == "queued"
    assert document.exit_status(task) == 0
    assert up.up.help
