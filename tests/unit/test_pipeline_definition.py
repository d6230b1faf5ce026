"""A pipeline as it is written, in TOML and in Python, and what is said where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipelines import pipeline

from evq.core.errors import UsageError
from evq.services.pipeline.definition import Definition, read_toml
from evq.services.pipeline.graph import graph
from evq.services.pipeline.reading import read

FLOW = """
import evq

@evq.step(queue="gpu", retries=2)
def prepare(sizes):
    return [2 * n for n in sizes]

@evq.step
def train(size, lr, how="plain"):
    return {"loss": lr * size}

@evq.step
def test(loss):
    return loss

@evq.step
def best(losses):
    return min(losses)

@evq.pipeline(name="flow", cache=True)
def steps_of_it(lr=0.1, sizes=(1, 2), twice=False):
    fits = train(evq.each(prepare(sizes)), lr, how="${x}")
    best(test(evq.each(fits["loss"])))
    for _ in range(2 * twice):
        best.with_options(gpus=1, after=[fits])([1])

if __name__ == "__main__":
    steps_of_it()
"""


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        graph(read_toml(text, "pipeline.toml"), "pipeline.toml")
    assert caught.value.fix
    return caught.value


def test_what_holds_for_every_step_can_be_said_once() -> None:
    found = read_toml(
        'name = "p"\n[defaults]\nqueue = "gpu"\nretries = 1\n'
        '[steps.a]\nscript = "a.py"\n[steps.b]\nscript = "b.py"\nretries = 3\n',
        "pipeline.toml",
    )
    assert [(step.queue, step.retries) for step in found.steps.values()] == [("gpu", 1), ("gpu", 3)]


@pytest.mark.parametrize(
    ("text", "what", "why"),
    [
        ("name = ", "pipeline.toml is no TOML", "at end of document"),
        ('name = "p"', "pipeline.toml is no pipeline", "it has 0 steps"),
        ('nam = "p"', "nam means nothing; did you mean name?", "known are"),
        ("[steps.a]\nscript = 'a.py'", "pipeline.toml is no pipeline", "`name`"),
        ('name = "p"\n[steps.a]\nskript = "a.py"', "steps.a.skript means nothing", "known are"),
        ('name = "p"\n[steps.a]\nretries = "x"', "no pipeline", "steps[...].retries"),
        ('name = "p"\n[steps.a]\nqueue = "q"', "pipeline.toml is no pipeline", "a runs nothing"),
        ('name = "p"\n[steps."a b"]\nscript = "a"', "'a b' cannot be the name of a step", ""),
        (
            'name = "p"\n[steps.a]\nscript = "a"\nafter = ["tarin"]\n[steps.train]\nscript = "a"',
            "step a names a step tarin, which is not there; did you mean train?",
            "there is a, train",
        ),
        (
            'name = "p"\n[steps.a]\nscript = "a"\nargs = ["${params.lr}"]',
            "step a names a parameter lr, which is not there",
            "there is none",
        ),
        (
            'name = "p"\n[steps.a]\nscript = "a"\nargs = ["${lr}"]',
            "${lr} refers to nothing",
            "a reference is params.NAME",
        ),
        (
            'name = "p"\n[steps.a]\nscript = "a"\nargs = ["${item}"]',
            "step a has no ${item}",
            "it runs once",
        ),
        (
            'name = "p"\n[steps.a]\nscript = "a"\n[steps.b]\nscript = "b"\neach = "${steps.a}"',
            "step b cannot run once for each of a",
            "a runs once",
        ),
        (
            'name = "p"\n[steps.a]\nscript = "a"\n[steps.b]\nscript = "b"\nargs = ["${steps.a}"]',
            "takes ${steps.a}, which is no value",
            "outputs",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(text: str, what: str, why: str) -> None:
    error = refused(text)
    assert what in error.what
    assert why in error.why


def test_a_circle_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        pipeline({"a": {"after": ["c"]}, "b": {"after": ["a"]}, "c": {"args": ["${steps.b.task}"]}})
    assert "in a circle" in caught.value.what
    assert sorted(caught.value.why.split(" → ")[1:]) == ["a", "b", "c"]


def test_the_order_is_that_of_the_file_where_it_can_be() -> None:
    found = graph(pipeline({"d": {"after": ["b"]}, "a": {}, "c": {"after": ["a"]}, "b": {}}))
    assert found.order == ("a", "c", "b", "d")


def written(folder: Path, text: str = FLOW) -> Path:
    path = folder / "flow.py"
    path.write_text(text)
    return path


def test_python_gives_the_definition_that_toml_would(tmp_path: Path) -> None:
    found = read(written(tmp_path), {})
    assert isinstance(found, Definition) and (found.name, found.cache) == ("flow", True)
    assert found.params == {"lr": 0.1, "sizes": [1, 2], "twice": False}
    assert list(found.steps) == ["prepare", "train", "test", "best"]
    prepare, train, test, best = found.steps.values()
    assert (prepare.function, prepare.queue, prepare.retries) == ("flow.py:prepare", "gpu", 2)
    assert train.each == "${steps.prepare.outputs.result}"
    assert train.arguments == {"size": "${item}", "lr": 0.1, "how": "$${x}"}
    assert test.each == "${steps.train}"
    assert test.arguments == {"loss": "${steps.train.outputs.result.loss}"}
    assert best.arguments == {"losses": "${steps.test.outputs.result}"}


def test_what_no_agent_could_act_on_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text('name = "p"\n[steps.a]\nscript = "a.py"\ntimeout = "soon"')
    with pytest.raises(UsageError, match="step a: 'soon' is not a duration"):
        read(path, {})


def test_loops_and_conditions_work_on_parameters(tmp_path: Path) -> None:
    found = read(written(tmp_path), {"twice": "true", "lr": "3"})
    assert list(found.steps)[-3:] == ["best", "best-2", "best-3"]
    assert found.steps["best-2"].gpus == 1 and found.steps["best-2"].after == ("train",)
    assert found.params["lr"] == 3


@pytest.mark.parametrize(
    ("text", "settings", "what", "why"),
    [
        ("import no_such_package", {}, "graph of flow.py cannot be learned", "no_such_package"),
        ("print()", {}, "flow.py holds no pipeline", "no function has @evq.pipeline"),
        (FLOW, {"rate": "1"}, "pipeline flow has no parameter rate", "it has lr, sizes, twice"),
        (FLOW.replace("lr=0.1", "lr"), {}, "cannot be learned", "parameter lr of pipeline flow"),
        (
            FLOW.replace("best(test", "min(test"),
            {},
            "cannot be learned",
            "the result of step test is not known yet",
        ),
    ],
)
def test_what_is_wrong_with_python_is_said_in_words(
    tmp_path: Path, text: str, settings: dict[str, str], what: str, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(written(tmp_path, text), settings)
    assert what in caught.value.what
    assert why in caught.value.why


def test_elsewhere_a_step_is_a_function(tmp_path: Path) -> None:
    from evq.core.sdk.steps import load

    module = load(str(written(tmp_path)))
    assert module.prepare([1, 2]) == [2, 4]
    assert module.train(2, lr=0.5) == {"loss": 1.0}
    assert module.train.__name__ == "train"
