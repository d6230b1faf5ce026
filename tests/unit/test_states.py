"""The chart in docs/states.md is what the code does: neither has an edge that the other lacks."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from evq.core import decide as commands
from evq.core import events, state
from evq.core.arrays.array import Array
from evq.core.arrays.giving import takes_turns
from evq.core.decide import Holder, Rejected, decide
from evq.core.events import Cause, Launch, Outcome
from evq.core.evolve import create, evolve
from evq.core.gangs.gather import GATHER, has_gathered
from evq.core.spec import After, Command, Spec
from evq.core.state import Task

DOCUMENT = Path(__file__).parents[2] / "docs" / "states.md"
START = "[*]"

Edge = tuple[str, str, str]


def every_command(task: Task) -> list[commands.Command]:
    """All that anybody could want of the task, in every variant that might matter."""
    number = task.live.number if task.live else 1
    holder = Holder("i1", number)
    environment = state.EnvironmentRecord("none", None, None, ())
    causes = [None, *Cause]
    return [
        commands.Claim("w1", "i1", 0, task.place.hint, 10.0),
        commands.BeginPhase(holder, "code"),
        commands.EndPhase(holder, "code", 1.0, None),
        commands.TellEnvironment(holder, environment),
        commands.SaveArtifact(holder, "a", "0" * 64, 1, False, "nats"),
        commands.Start(holder, Launch(0, 1, ("a",), "h", "/")),
        *(
            commands.Finish(holder, outcome, None, cause)
            for outcome, cause in itertools.product(Outcome, causes)
        ),
        commands.GiveBack(holder, "drain"),
        commands.DeclareLost(number, "silent"),
        commands.Abort("enough"),
        commands.Requeue("again"),
        *([commands.Requeue("again", held=True)] if takes_turns(task) else []),
        commands.Release(),
        commands.BeginPhase(holder, GATHER),
        commands.Assemble("10.0.0.1", 29500),
        *(
            commands.Disband(1, "rank 1 ended", outcome, again, 0.0, None)
            for outcome, again in itertools.product(
                (Outcome.FAILED, Outcome.TIMED_OUT), (False, True)
            )
        ),
        commands.Await(("t2",)),
        *(
            commands.EndDependencies((events.DependencyEnd(name, outcome),))
            for name, outcome in itertools.product(("a", "b"), Outcome)
        ),
        commands.Move("other", 7, 0.5, "urgent"),
        commands.Dequeue("not now"),
        commands.Tag(("paper",), ()),
        commands.Archive("done with"),
        commands.Unarchive("not yet"),
        commands.Clean(what=("logs",), reason="old", before=2**60),
    ]


def outline(task: Task) -> tuple[object, ...]:
    """What of a task decides about its future; two tasks of one outline need not both be tried."""
    live = task.live
    gang = live and (has_gathered(task), live.assembled is not None, live.disband)
    former = task.former and task.former.state.outcome
    wish = task.abort is not None
    turns = (takes_turns(task) is not None, task.has_turn)
    filed = (task.archived is not None, former and task.former and task.former.archived is not None)
    counts = (task.failures, task.losses, len(task.ends), len(task.removed))
    return (task.name_of_state, counts, wish, former, gang, filed, turns)


def edges_in_code() -> set[Edge]:
    """Every step that any task can take, by trying every command on every task there can be."""
    spec = Spec(entry=Command(("true",)), name="t", queue="q", retries=1, losses=1)
    held = replace(spec, after=(After("a"), After("b", "any")))
    later = Array("a", 1, 2, most=1)
    all_kinds = (spec, held, replace(spec, array=later), replace(held, array=later))
    waiting = [create(1, 1, "me", events.Enqueued("t", one)) for one in all_kinds]
    found: set[Edge] = {(START, first.name_of_state, "enqueued") for first in waiting}
    seen = {outline(first) for first in waiting}
    while waiting:
        task = waiting.pop()
        for command in every_command(task):
            try:
                event = decide(task, command)
            except Rejected:
                continue
            after = evolve(task, task.seq + 1, 1, "me", event)
            kind = str(event.__struct_config__.tag)
            found.add((task.name_of_state, after.name_of_state, kind))
            if outline(after) not in seen:
                seen.add(outline(after))
                waiting.append(after)
    return found


def edges_in_document() -> dict[str, Edge]:
    """The chart's edges by their letters."""
    lines = re.findall(r"^ +(\S+) --> (\S+): \((\w+)\) (\w+)$", DOCUMENT.read_text(), re.M)
    return {letter: (start, end, kind) for start, end, letter, kind in lines}


def test_the_chart_equals_the_code() -> None:
    assert set(edges_in_document().values()) == edges_in_code()


def test_every_letter_stands_once_in_the_chart_and_once_in_the_list() -> None:
    text = DOCUMENT.read_text()
    in_chart = re.findall(r"--> \S+: \((\w+)\)", text)
    in_list = re.findall(r"^- \((\w+)\) ", text, re.M)
    assert len(in_chart) == len(edges_in_document())
    assert in_chart == in_list and len(set(in_list)) == len(in_list)


def test_every_lifecycle_event_is_on_an_edge() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in events.Lifecycle.__args__}
    assert {kind for _, _, kind in edges_in_code()} == kinds


@pytest.mark.parametrize("letter", sorted(edges_in_document()))
def test_the_list_says_what_the_chart_says(letter: str) -> None:
    """Each line of the list names its event and, where the state changes, both states."""
    start, end, kind = edges_in_document()[letter]
    (line,) = re.findall(rf"^- \({letter}\) (.*(?:\n  .*)*)", DOCUMENT.read_text(), re.M)
    assert f"`{kind}`" in line
    for name in {start, end} - {START}:
        assert f"`{name}`" in line, name
