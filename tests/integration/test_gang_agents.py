"""Gangs: members on several agents that run together or not at all."""

from __future__ import annotations

import sys

import pytest
from gang import enqueue

from evq.core.decide import Abort, Rejected
from evq.core.events import Assembled, Cause, Claimed, Finished, Outcome, Retry, Started
from evq.core.gangs.gang import decisive
from evq.core.handle import handle
from evq.core.spec import After
from evq.core.state import Ended, Held, Queued

MEET = """
import os, socket, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
assert os.environ["NODE_RANK"] == os.environ["EVQ_RANK"] == str(rank)
assert os.environ["LOCAL_RANK"] == "0"
if rank == 0:
    with socket.create_server(place) as server:
        peers = [server.accept()[0] for _ in range(size - 1)]
    ranks = [0, *sorted(int(peer.makefile().readline()) for peer in peers)]
    for peer in peers:
        peer.sendall(f"{ranks}\\n".encode())
else:
    while True:
        try:
            peer = socket.create_connection(place)
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    peer.sendall(f"{rank}\\n".encode())
    ranks = peer.makefile().readline().strip()
print("met", ranks)
"""


async def test_the_members_meet(queue, start_agent) -> None:
    for _ in range(3):
        start_agent([queue]).ready()
    gang = await enqueue(queue, sys.executable, "-c", MEET, nodes=3)
    tasks = await gang.ended()
    assert [task.name_of_state for task in tasks] == ["completed"] * 3
    assert [task.spec.gang.rank for task in tasks] == [0, 1, 2]
    assert len({task.past[0].agent for task in tasks}) == 3
    for task in tasks:
        assert await queue.lines(task.id, "o") == ["met [0, 1, 2]"]
    starts = [task.past[0].launch.at for task in tasks]
    print(f"all started within {(max(starts) - min(starts)) / 1000:.1f} ms")


async def test_all_are_let_start_in_one_moment(served) -> None:
    gang = await enqueue(served, "true", nodes=2)
    await gang.ended()
    history = await gang.history()
    seqs = [seq for _, seq, event in history if isinstance(event, Assembled)]
    assert len(seqs) == 2 and seqs[1] - seqs[0] == 1
    begins = [seq for _, seq, event in history if isinstance(event, Started | Finished)]
    assert max(seqs) < min(begins)


async def test_the_failure_of_one_ends_all(served) -> None:
    code = "test $RANK = 1 && { echo broken >&2; exit 3; }; sleep 1000"
    gang = await enqueue(served, "sh", "-c", code, nodes=2)
    tasks = await gang.ended()
    assert [task.state.outcome for task in tasks] == [Outcome.FAILED] * 2
    assert [task.state.cause for task in tasks] == [Cause.GANG, Cause.CODE]
    assert tasks[0].state.evidence == "rank 1 failed with exit status 3: broken"
    assert decisive(tasks) is tasks[1] and decisive(tasks).state.exit_code == 3


async def test_a_retry_is_one_of_all(served, gate) -> None:
    """Rank 0 completes at once, rank 1 fails after that: both run again, and only once."""
    code = f"test $RANK = 0 || test $EVQ_ATTEMPT = 2 || {{ {gate.wait}; exit 1; }}"
    gang = await enqueue(served, "sh", "-c", code, nodes=2, retries=1)
    await served.event(gang.ids[0], Finished)
    await gate.reached()
    gate.open()
    await gang.events(Claimed, 2)
    await served.event(gang.ids[0], Finished, 2)
    tasks = await gang.ended()
    assert [task.name_of_state for task in tasks] == ["completed"] * 2
    assert [len(task.past) for task in tasks] == [2, 2]
    assert [(task.failures, task.losses) for task in tasks] == [(1, 0)] * 2


async def test_a_budget_is_that_of_all(served) -> None:
    """Each member fails once, and there is one retry for the gang."""
    code = "test $EVQ_ATTEMPT = $((RANK + 1)) && exit 7; sleep 1000"
    gang = await enqueue(served, "sh", "-c", code, nodes=2, retries=1)
    tasks = await gang.ended()
    assert [task.state.cause for task in tasks] == [Cause.GANG, Cause.CODE]
    assert [task.failures for task in tasks] == [1, 1]
    kinds = [type(event) for _, _, event in await gang.history()]
    assert kinds.count(Retry) == 1


@pytest.mark.parametrize("rank", [0, 1])
async def test_an_abort_of_one_is_an_abort_of_all(served, rank) -> None:
    gang = await enqueue(served, "sh", "-c", "echo here; sleep 1000", nodes=2)
    for task in gang.ids:
        await served.line(task, "here")
    await served.client.abort(gang.ids[rank], "enough")
    for task in await gang.ended():
        assert (task.state.outcome, task.state.evidence) == (Outcome.ABORTED, "enough")


async def test_a_gang_that_waits_is_aborted_whole(queue) -> None:
    gang = await enqueue(queue, "true", nodes=3)
    await queue.client.abort(gang.ids[2], "enough")
    assert [task.name_of_state for task in await gang.ended()] == ["aborted"] * 3
    history = await gang.history()
    assert history[-1][1] - history[0][1] == 2
    with pytest.raises(Rejected, match="ended already"):
        await handle(queue.client.bus.log, queue.client.author, (await gang.tasks())[0], Abort(""))


async def test_what_has_ended_runs_again_whole(served) -> None:
    gang = await enqueue(served, "sh", "-c", "exit $RANK", nodes=2)
    await gang.ended()
    await served.client.retry(gang.ids[1], "once more")
    tasks = await gang.ended()
    assert [len(task.past) for task in tasks] == [2, 2]
    assert decisive(tasks).state.exit_code == 1


async def test_time_that_runs_out_for_one_ends_all(served) -> None:
    code = "test $RANK = 1 && trap '' TERM; sleep 1000"
    gang = await enqueue(served, "sh", "-c", code, nodes=2, timeout=0.2, grace=0.1)
    tasks = await gang.ended()
    assert [task.state.outcome for task in tasks] == [Outcome.TIMED_OUT] * 2


async def test_a_failed_set_up_ends_all(served) -> None:
    gang = await enqueue(served, "true", nodes=2, secrets=("NOBODY_KNOWS_THIS",))
    tasks = await gang.ended()
    assert {task.state.cause for task in tasks} <= {Cause.GANG, Cause.ENVIRONMENT}
    assert decisive(tasks).state.cause is Cause.ENVIRONMENT
    assert not any(task.past and task.past[-1].launch for task in tasks)


async def test_a_gang_that_is_too_large_takes_no_place(served) -> None:
    """The module's agent has two slots: three members would hold them for nothing."""
    gang = await enqueue(served, "true", nodes=3)
    single = await served.run("true")
    assert single.name_of_state == "completed"
    assert [type(task.state) for task in await gang.tasks()] == [Queued] * 3
    assert await gang.history() == []
    await served.client.abort(gang.id, "it would wait for ever")


async def test_two_gangs_that_cannot_both_be_there_run_one_after_the_other(
    queue, start_agent
) -> None:
    """Two gangs of three on four slots: neither holds up the other for ever."""
    gangs = [
        await enqueue(queue, "sh", "-c", "sleep 0.3", nodes=3),
        await enqueue(queue, "sh", "-c", "sleep 0.3", nodes=3),
    ]
    for _ in range(4):
        start_agent([queue])
    for gang in gangs:
        assert [task.name_of_state for task in await gang.ended()] == ["completed"] * 3
    running = most = 0
    steps = [step for gang in gangs for step in await gang.history()]
    for _, _, event in sorted(steps, key=lambda step: step[1]):
        running += isinstance(event, Assembled) - isinstance(event, Finished)
        most = max(most, running)
    # The second finds room for all when the last of the first still runs.
    assert 3 <= most <= 4


async def test_one_key_is_one_gang(queue) -> None:
    first = await enqueue(queue, "true", nodes=2, key=queue.name)
    again = await enqueue(queue, "true", nodes=2, key=queue.name)
    assert first.ids == again.ids
    assert len(await queue.client.bus.log.history(f"evq.q.{queue.name}.>")) == 2


async def test_what_awaits_a_gang_awaits_all_its_ranks(served, tmp_path) -> None:
    go = tmp_path / "go"
    code = f"test $RANK = 0 && exit; while ! test -e {go}; do sleep 0.02; done"
    gang = await enqueue(served, "sh", "-c", code, nodes=2)
    single = await served.enqueue("true", after=(After(gang.id),))
    other = await enqueue(served, "true", nodes=2, after=(After(gang.id),))
    await served.event(gang.ids[0], Finished)
    assert isinstance((await served.client.get(single)).state, Held)
    assert [type(task.state) for task in await other.tasks()] == [Held, Held]
    go.touch()
    assert (await served.ended(single)).name_of_state == "completed"
    assert [task.name_of_state for task in await other.ended()] == ["completed"] * 2


async def test_what_awaits_a_gang_that_fails_never_runs(served, until) -> None:
    gang = await enqueue(served, "sh", "-c", "sleep 0.2; exit $RANK", nodes=2)
    other = await enqueue(served, "true", nodes=2, after=(After(gang.id),))

    async def over() -> bool:
        return all(isinstance(task.state, Ended) for task in await other.tasks())

    await until(over)
    for task in await other.tasks():
        assert (task.state.outcome, task.state.cause) == (Outcome.ABORTED, Cause.DEPENDENCY)


async def test_a_gang_in_a_queue_whose_limit_is_too_low(served) -> None:
    await served.client.limit_queue(served.name, 1, None, "one at a time")
    try:
        gang = await enqueue(served, "true", nodes=2)
        assert (await served.run("true")).name_of_state == "completed"
        assert await gang.history() == []
        await served.client.limit_queue(served.name, 2, None, "two at a time")
        assert [task.name_of_state for task in await gang.ended()] == ["completed"] * 2
    finally:
        await served.client.limit_queue(served.name, None, None, "as before")
