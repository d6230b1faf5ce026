"""How attempts end by themselves: statuses, signals, limits, budgets."""

import asyncio

import pytest

from evq.core.errors import Conflict
from evq.core.events import Cause, Finished, Lost, Outcome, Retry, Started

LISTENING = "trap 'echo saved; exit 3' TERM; while :; do sleep 0.01; done"
STUBBORN = "trap 'echo no' TERM; while :; do sleep 0.01; done"
"""A shell, which is ready to be told long before any time has run out."""


async def test_the_exit_status_decides(served):
    codes = (0, 1, 7, 255)
    words = "echo reason >&2; echo more; exit"
    tasks = await asyncio.gather(*(served.run("sh", "-c", f"{words} {code}") for code in codes))
    assert [task.name_of_state for task in tasks] == ["completed", "failed", "failed", "failed"]
    assert [task.state.exit_code for task in tasks] == list(codes)
    assert [task.state.cause for task in tasks] == [None, *[Cause.CODE] * 3]
    assert tasks[2].state.evidence == "reason"


async def test_the_whole_life_stands_in_the_log(served, gate):
    code = f"{gate.wait}; exit 3"
    id = await served.enqueue("sh", "-c", code, name="life")
    await served.event(id, Started)
    await gate.reached()
    gate.open()
    task = await served.ended(id)
    (attempt,) = task.attempts
    kinds = [type(envelope.event).__name__ for envelope in await served.envelopes(task.id)]
    assert kinds == ["Claimed", "Started", "Finished"]
    assert attempt.agent == served.agent.name and attempt.hint == task.origin
    assert attempt.launch.argv == ("sh", "-c", code) and attempt.launch.pid > 1
    assert attempt.claimed <= attempt.launch.at <= attempt.end.at
    assert attempt.end.usage.max_rss > 0 and attempt.end.usage.wall > 0


async def test_a_command_too_short_for_an_event_of_its_start_has_one_all_the_same(served):
    tasks = await asyncio.gather(*(served.run("true") for _ in range(8)))
    launches = [task.attempts[0].launch for task in tasks]
    assert all(launch.argv == ("true",) and launch.pid > 1 for launch in launches)


async def test_a_signal_that_evq_did_not_send(served):
    task = await served.run("sh", "-c", "kill -SEGV $$")
    assert (task.state.outcome, task.state.exit_code) == (Outcome.FAILED, -11)
    assert task.state.cause is Cause.SIGNAL and "SIGSEGV" in task.state.evidence


async def test_a_command_that_is_not_there(served):
    task = await served.run("no-such-command", "--option")
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.SPAWN)
    assert task.state.exit_code is None and task.attempts[0].launch is None
    assert task.state.evidence.startswith("[E32] there is no command 'no-such-command' (PATH is ")
    first, *_ = await served.lines(task.id, "a")
    assert first == "error[E32]: there is no command 'no-such-command'"


async def test_requirements_without_an_environment(served):
    task = await served.run("true", requirements=("six",))
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
    assert "[E31]" in task.state.evidence


async def test_time_runs_out_for_one_who_listens(served):
    task = await served.run("sh", "-c", LISTENING, timeout=2.0)
    assert (task.state.outcome, task.state.cause) == (Outcome.TIMED_OUT, Cause.TIME)
    assert task.state.exit_code == 3 and task.state.evidence == "it ran longer than 2 s"
    assert "saved" in await served.lines(task.id, "o")


async def test_time_runs_out_for_one_who_does_not(served):
    task = await served.run("sh", "-c", STUBBORN, timeout=2.0, grace=2.0)
    assert (task.state.outcome, task.state.exit_code) == (Outcome.TIMED_OUT, -9)
    assert await served.lines(task.id, "o") == ["no"]


async def test_a_failure_is_tried_again_after_a_while(served):
    task = await served.run("sh", "-c", "exit $((2 - EVQ_ATTEMPT))", retries=3)
    assert task.state.outcome is Outcome.COMPLETED and task.failures == 1
    failed, again = task.attempts
    assert failed.end.exit_code == 1 and again.end.exit_code == 0
    retry = await served.event(task.id, Retry)
    assert retry.delay == 1.0 and again.claimed - failed.end.at >= retry.delay * 1e6


async def test_losses_and_failures_have_budgets_of_their_own(served):
    # The parent of a task is its supervisor: to kill it is a loss, not a failure.
    code = "case $EVQ_ATTEMPT in 1) kill -9 $PPID; sleep 60;; 2) exit 5;; *) exit 6;; esac"
    task = await served.run("sh", "-c", code, retries=1, losses=1)
    assert (task.losses, task.failures) == (1, 1)
    kinds = [type(envelope.event) for envelope in await served.envelopes(task.id)]
    assert [kind for kind in kinds if kind in (Lost, Retry, Finished)] == [Lost, Retry, Finished]
    assert [attempt.end.exit_code for attempt in task.attempts] == [None, 5, 6]
    assert task.attempts[0].end.cause is Cause.INFRASTRUCTURE


async def test_a_budget_of_losses_has_an_end(served):
    task = await served.run("sh", "-c", "kill -9 $PPID; sleep 60", losses=0)
    assert task.state.cause is Cause.INFRASTRUCTURE
    assert (task.state.outcome, len(task.attempts)) == (Outcome.FAILED, 1)


async def test_what_ended_can_be_asked_to_run_again(served):
    task = await served.run("sh", "-c", "exit $((2 - EVQ_ATTEMPT))")
    assert task.state.outcome is Outcome.FAILED
    await served.client.retry(task.id, "once more")
    task = await served.ended(task.id, times=2)
    assert task.state.outcome is Outcome.COMPLETED and len(task.attempts) == 2
    assert task.attempts[1].hint > task.attempts[0].hint


async def test_who_has_not_ended_cannot_be_asked_to_run_again(queue):
    task = await queue.enqueue("true")
    with pytest.raises(Conflict, match="has not ended"):
        await queue.client.retry(task, "now")
