"""The documents name what there is: every event and field, every state, functions that exist."""

from __future__ import annotations

import ast
import re
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evq.agent.attempts import variables
from evq.core import subjects
from evq.core.bus.connect import _streams
from evq.core.events import Cause, Envelope, Event, Outcome, Telemetry
from evq.core.fleet.samples import Gpus, Machine, Processes, Sample, Shares
from evq.core.spec import Spec

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EVENTS = (DOCS / "events.md").read_text()
KINDS = [*typing.get_args(Event), *typing.get_args(Telemetry), Sample]


def section(title: str) -> str:
    """The text between a heading and the next."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", EVENTS, re.M | re.S)
    return str(text)


def rows(text: str) -> list[str]:
    """The names in the first column of a table."""
    return re.findall(r"^\| `(\w+)` \| .+ \|$", text, re.M)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_is_described_with_every_field(kind: Any) -> None:
    fields = [field.name for field in msgspec.structs.fields(kind)]
    assert rows(section(f"`{kind.__struct_config__.tag}`")) == fields


def test_no_event_is_described_that_does_not_exist() -> None:
    described = re.findall(r"^### `(\w+)`$", EVENTS, re.M)
    assert described == [kind.__struct_config__.tag for kind in KINDS]


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Events", [field.name for field in msgspec.structs.fields(Envelope)]),
        ("The spec", [field.name for field in msgspec.structs.fields(Spec)]),
        ("The machine", [field.name for field in msgspec.structs.fields(Machine)]),
        ("The GPUs", [field.name for field in msgspec.structs.fields(Gpus)]),
        ("Processes on GPUs", [field.name for field in msgspec.structs.fields(Processes)]),
        ("Shares of attempts", [field.name for field in msgspec.structs.fields(Shares)]),
        ("Causes", [cause.value for cause in Cause]),
    ],
)
def test_the_other_tables_are_complete(title: str, names: list[str]) -> None:
    assert sorted(rows(section(title))) == sorted(names)


def test_every_outcome_is_named() -> None:
    assert all(f"`{outcome.value}`" in section("`finished`") for outcome in Outcome)


def functions(file: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)}


@pytest.mark.parametrize("document", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_what_a_document_points_at_is_there(document: Path) -> None:
    text = document.read_text()
    for name, function in re.findall(r"`([\w/]+\.py):(\w+)`", text):
        assert function in functions(ROOT / name), f"{name}:{function}"
    for name in re.findall(r"`((?:core|agent|projector|cli|tests)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (document.parent / target).exists(), target


def test_every_stream_is_explained() -> None:
    text = (DOCS / "architecture.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", text, re.M) == [s["name"] for s in _streams()]
    for pattern in ("LIFECYCLE_SUBJECTS", "TELEMETRY_SUBJECTS", "SAMPLES_SUBJECTS"):
        assert f"`{getattr(subjects, pattern)}`" in text


def test_the_variables_that_tasks_see_are_listed() -> None:
    text = (DOCS / "security.md").read_text().partition("## Variables")[2]
    lists = (variables.MACHINE, variables.PACKAGES, variables.BUILDING, variables.NEVER)
    documented = set(re.findall(r"`([A-Za-z_*]+)`", text))
    assert {name for names in lists for name in names} <= documented


def test_the_glossary_has_one_line_for_each_word_in_order() -> None:
    text = (DOCS / "glossary.md").read_text()
    entries = re.findall(r"^\| ([^|*]+) \| .+ \|$", text, re.M)[1:]
    assert entries == sorted(entries, key=str.lower) and len(set(entries)) == len(entries)
    first = re.findall(r"^\| \*\*(\w+)\*\* \|", text, re.M)
    assert first == ["task", "attempt", "event", "queue", "agent"]
    for room in ("core", "agent", "projector", "cli", "services"):
        assert f"`{room}`" in text
