"""What a run of a pipeline does next."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import World, pipeline

from evq.core.errors import UsageError
from evq.core.spec import Module
from evq.services.pipeline.decide import again, decide, unfinished
from evq.services.pipeline.facts import Resumed, StopWished
from evq.services.pipeline.run import Run
from evq.services.pipeline.tasks import spec_of

DIAMOND = {
    "a": {},
    "b": {"after": ["a"]},
    "c": {"after": ["a"]},
    "d": {"after": ["b", "c"]},
}


def outcomes(run: Run) -> dict[str, str]:
    return {name: run.result(name).outcome for name in run.parts}  # type: ignore[union-attr]


def test_each_step_begins_when_those_before_it_have_ended() -> None:
    world = World(pipeline(DIAMOND))
    assert decide(world.run()).ready == ("a",)
    world.begin()
    assert decide(world.run()).ready == ()
    world.enqueue()
    (task,) = world.tasks
    world.end(task, "completed")
    world.settle()
    assert decide(world.run()).ready == ("b", "c")
    assert world.carry_through().ended.outcome == "completed"  # type: ignore[union-attr]
    assert len(world.tasks) == 4


def test_a_failure_aborts_what_runs_and_begins_nothing_more() -> None:
    run = World(pipeline(DIAMOND)).carry_through({"b": "failed"})
    assert outcomes(run) == {"a": "completed", "b": "failed", "c": "completed"}
    assert run.ended and run.ended.outcome == "failed"
    assert run.ended.evidence == "b failed"


def test_a_failure_skips_what_comes_after_it_and_the_rest_goes_on() -> None:
    steps = DIAMOND | {"b": {"after": ["a"], "on_failure": "skip"}, "e": {"after": ["c"]}}
    run = World(pipeline(steps)).carry_through({"b": "failed"})
    assert outcomes(run) == {
        "a": "completed",
        "b": "failed",
        "c": "completed",
        "d": "skipped",
        "e": "completed",
    }
    assert run.ended and run.ended.outcome == "failed"


def test_a_failure_may_mean_nothing() -> None:
    steps = DIAMOND | {"b": {"after": ["a"], "on_failure": "continue"}}
    run = World(pipeline(steps)).carry_through({"b": "timed_out"})
    assert outcomes(run)["d"] == "completed"
    assert run.ended and run.ended.outcome == "completed"


def test_a_step_runs_for_each_item_that_another_gave() -> None:
    steps = {
        "list": {},
        "train": {"each": "${steps.list.outputs.sizes}", "args": ["--size", "${item.n}"]},
        "test": {"each": "${steps.train}", "args": ["${steps.train.outputs.loss}"]},
        "all": {"args": ["${steps.test.task}"]},
    }
    world = World(pipeline(steps))
    run = world.carry_through(sizes=[{"n": 3}, {"n": 5}], loss=0.5)
    assert list(run.parts) == ["list", "train[0]", "train[1]", "test[0]", "test[1]", "all"]
    assert spec_of(run, "train[1]").entry.argv == ("true", "--size", "5")  # type: ignore[union-attr]
    assert spec_of(run, "test[0]").entry.argv == ("true", "0.5")  # type: ignore[union-attr]


def test_one_to_one_waits_for_its_counterpart_alone() -> None:
    steps = {"train": {"each": [1, 2]}, "test": {"each": "${steps.train}"}}
    world = World(pipeline(steps))
    world.begin()
    world.enqueue()
    second = next(task for task, name in world.tasks.items() if name == "train[1]")
    world.end(second, "completed")
    world.settle()
    assert decide(world.run()).ready == ("test[1]",)


def test_no_items_are_no_instances_and_a_list_of_nothing() -> None:
    steps = {"train": {"each": []}, "all": {"args": ["${steps.train.outputs.loss}"]}}
    run = World(pipeline(steps)).carry_through()
    assert list(run.parts) == ["all"]
    assert spec_of(run, "all").entry.argv == ("true", "[]")  # type: ignore[union-attr]


def test_what_is_no_list_fails_its_step() -> None:
    steps = {"one": {}, "train": {"each": "${steps.one.outputs.n}"}}
    run = World(pipeline(steps)).carry_through(n=3)
    assert run.ended and run.ended.outcome == "failed"
    assert "cannot run for each of 3" in run.ended.evidence


def test_a_second_run_takes_what_is_known() -> None:
    definition = pipeline(DIAMOND, cache=True)
    first = World(definition)
    first.carry_through()
    second = World(definition, "p-2")
    second.kept = first.kept
    run = second.carry_through()
    assert second.tasks == {}
    assert all(run.result(name).reused for name in run.parts)  # type: ignore[union-attr]
    fresh = World(definition, "p-3", fresh=True)
    fresh.kept = first.kept
    fresh.carry_through()
    assert len(fresh.tasks) == 4


def test_what_comes_after_a_step_that_ran_anew_runs_anew() -> None:
    first = World(pipeline(DIAMOND, cache=True))
    first.carry_through()
    second = World(pipeline(DIAMOND | {"b": {"after": ["a"], "args": ["2"]}}, cache=True), "p-2")
    second.kept = first.kept
    run = second.carry_through()
    assert sorted(second.tasks.values()) == ["b", "d"]
    assert run.result("c").reused  # type: ignore[union-attr]


def test_a_run_is_resumed_where_it_failed() -> None:
    world = World(pipeline(DIAMOND))
    run = world.carry_through({"b": "failed"})
    parts = again(run, unfinished(run))
    assert parts == ("b",)
    world.write(Resumed(parts))
    assert decide(world.run()).ready == ("b",)
    assert world.carry_through().ended.outcome == "completed"  # type: ignore[union-attr]
    assert sorted(world.tasks.values()) == ["a", "b", "b", "c", "d"]


def test_a_run_is_run_again_from_a_step_on() -> None:
    steps = {
        "train": {"each": [1, 2]},
        "test": {"each": "${steps.train}"},
        "all": {"after": ["test"]},
    }
    run = World(pipeline(steps)).carry_through()
    assert again(run, {"train[1]"}) == ("train[1]", "test[1]", "all")


def test_a_run_is_stopped() -> None:
    world = World(pipeline(DIAMOND))
    world.begin()
    world.enqueue()
    world.write(StopWished("enough"))
    run = world.carry_through()
    assert outcomes(run) == {"a": "aborted"}
    assert run.ended and (run.ended.outcome, run.ended.evidence) == ("aborted", "enough")


def test_a_function_gets_its_arguments_with_their_types() -> None:
    steps = {"f": {"function": "flow.py:train", "arguments": {"lr": "${params.lr}", "s": "$${x}"}}}
    run = World(pipeline(steps, params={"lr": [0.1, 2]})).carry_through()
    assert spec_of(run, "f").entry == Module(
        "evq_steps", ("flow.py:train", '{"lr": [0.1, 2], "s": "${x}"}')
    )


# --- at random ------------------------------------------------------------------------------------

POLICIES = st.sampled_from(["abort", "skip", "continue"])


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, dict[str, object]]:
    """Steps with edges to earlier ones, some of them for each item, some one to one."""
    steps: dict[str, dict[str, object]] = {}
    for n in range(draw(st.integers(1, 7))):
        before = list(steps)
        step: dict[str, object] = {"on_failure": draw(POLICIES)}
        step["after"] = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        spread = [name for name in before if "each" in steps[name]]
        kind = draw(st.sampled_from(["once", "items", "given", "along"]))
        if kind == "items":
            step["each"] = draw(st.lists(st.integers(0, 9), max_size=3))
        elif kind == "given" and before:
            other = draw(st.sampled_from(before))
            if other not in spread:
                step["each"] = f"${{steps.{other}.outputs.list}}"
        elif kind == "along" and spread:
            step["each"] = f"${{steps.{draw(st.sampled_from(spread))}}}"
        steps[f"s{n}"] = step
    return steps


@settings(max_examples=150, deadline=None)
@given(definitions(), st.data())
def test_whenever_it_is_killed_each_instance_runs_once(
    steps: dict[str, dict[str, object]], data: st.DataObject
) -> None:
    """A controller is a fold and a few actions; killed between any two of them, the next one finds
    in the journal all it needs. So here each action is by a controller of its own."""
    world = World(pipeline(steps))
    ended: set[str] = set()
    for _ in range(400):
        run = world.run()
        if run.ended:
            break
        running = [task for task in world.tasks if task not in world.ends]
        actions = ["begin", "enqueue", "abort", "settle", *(["end"] if running else [])]
        match data.draw(st.sampled_from(actions)):
            case "begin":
                world.begin()
            case "enqueue":
                world.enqueue()
            case "abort":
                world.abort()
            case "settle":
                world.settle()
            case "end":
                task = data.draw(st.sampled_from(running))
                outcome = data.draw(st.sampled_from(["completed"] * 4 + ["failed", "timed_out"]))
                world.end(task, outcome, list=[1, 2])
                assert task not in ended
                ended.add(task)
    else:
        world.carry_through(list=[1, 2])
    run = world.run()
    assert run.ended
    names = list(world.tasks.values())
    assert len(names) == len(set(names)), "a part ran as two tasks"
    for name in run.parts:
        result = run.result(name)
        assert result, f"{name} was left behind"
        if result.outcome == "completed":
            assert result.task in world.ends


@settings(max_examples=60, deadline=None)
@given(definitions())
def test_undisturbed_runs_of_the_same_pipeline_ask_for_the_same_tasks(
    steps: dict[str, dict[str, object]],
) -> None:
    one, other = World(pipeline(steps)), World(pipeline(steps))
    one.carry_through(list=[1])
    other.carry_through(list=[1])
    assert one.facts == other.facts


def test_a_value_that_was_not_given_fails_its_step() -> None:
    steps = {"a": {}, "b": {"args": ["${steps.a.outputs.loss}"]}}
    world = World(pipeline(steps))
    world.begin()
    world.enqueue()
    world.end(next(iter(world.tasks)), "completed")
    world.settle()
    try:
        spec_of(world.run(), "b")
    except UsageError as error:
        assert "steps.a.outputs has no loss" in error.what
    else:
        raise AssertionError("it makes a task")
