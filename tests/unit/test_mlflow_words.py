"""Who is let in to log by MLflow, what is understood, and how it is told to the agent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.agent.trackers.mlflow.bodies import Batch, Metric, Pair, RunCreate, read
from evq.agent.trackers.mlflow.refusal import Refusal
from evq.agent.trackers.mlflow.runs import MOST_NAMES, Runs
from evq.agent.trackers.mlflow.telling import LINE_BYTES, Voice
from evq.agent.trackers.ticket import Ticket, read_ticket
from evq.core.trackers import read_trackers

TICKET = Ticket("3", 41, "abcdefghijkl", 2)
KEY = b"k" * 32


def test_a_ticket_is_read_by_its_own_key_only() -> None:
    text = TICKET.signed(KEY)
    assert read_ticket(text, KEY) == TICKET
    assert read_ticket(text, b"x" * 32) is None
    assert read_ticket(text.replace("41", "42", 1), KEY) is None


@given(st.text())
def test_no_text_is_a_ticket(text: str) -> None:
    assert read_ticket(text, KEY) is None


def test_the_first_run_is_the_attempts_own_and_others_have_a_prefix() -> None:
    runs = Runs(TICKET)
    made = [runs.create(RunCreate(run_name=name)) for name in ("a", "b", "b", "")]
    assert [run.id for run in made] == [TICKET.run, *(f"{TICKET.run}-{n}" for n in (2, 3, 4))]
    assert [run.prefix for run in made] == ["", "b/", "b-3/", "run-4/"]


def test_a_run_that_was_joined_is_not_given_away_again() -> None:
    runs = Runs(TICKET)
    assert runs.get(TICKET.run).prefix == ""
    assert runs.create(RunCreate()).id != TICKET.run


def test_a_run_has_so_many_names_at_most() -> None:
    run = Runs(TICKET).create(RunCreate())
    for start in range(0, MOST_NAMES, 1000):
        run.keep(Batch(params=[Pair(str(number)) for number in range(start, start + 1000)]))
    run.keep(Batch(params=[Pair("0", "again")]))
    with pytest.raises(Refusal):
        run.keep(Batch(params=[Pair("one more")]))


@pytest.mark.parametrize("word", ["NaN", "nan", "Infinity", "-Infinity", "1e3", 1, 0.5])
def test_words_for_numbers(word: Any) -> None:
    assert math.isclose(float(Metric("x", word).plain), float(word), rel_tol=0) or math.isnan(
        float(word)
    )


def test_longest_words_fit_the_agents_lines() -> None:
    run, voice = Runs(TICKET).create(RunCreate()), Voice(Path("/nowhere"), 41)
    worst = "\x01" * 8000  # six bytes each as JSON
    batch = Batch(params=[Pair(str(number), worst) for number in range(3)])
    lines = list(voice.words(run, batch))
    assert [list(line.params or ()) for line in lines] == [["0"], ["1"], ["2"]]
    many = Batch(metrics=[Metric(f"{number:0100}", number) for number in range(2000)])
    sizes = [len(str(line.metrics)) for line in voice.words(run, many)]
    assert len(sizes) > 1 and max(sizes) < LINE_BYTES * 1.5


@given(st.binary(max_size=100))
def test_no_body_harms_the_server(body: bytes) -> None:
    for kind in (Batch, Metric, Pair, RunCreate):
        try:
            read(body, kind)
        except Refusal as refusal:
            assert refusal.status == 400


def test_the_choice_of_trackers() -> None:
    assert read_trackers("all") == {"mlflow", "tensorboard"} and read_trackers("none") == set()
    assert read_trackers("tensorboard, mlflow") == {"mlflow", "tensorboard"}
    with pytest.raises(ValueError, match="wandb"):
        read_trackers("wandb")
