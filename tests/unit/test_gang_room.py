"""Whether there is room for all of a gang, who gives way, and for how long places are kept."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evq.agent.gang import patience
from evq.core.events import Cause, Enqueued
from evq.core.evolve import create
from evq.core.fleet.presence import AgentPresence
from evq.core.fleet.resources import Device, Offer, Request
from evq.core.gangs.gather import Gathering, gathering
from evq.core.queueing.permits import Permit, Permits
from evq.core.queueing.room import (
    few_permits,
    free,
    missing,
    must_give_way,
    no_room,
    over_limit,
    places,
    too_large,
)
from evq.core.spec import Command, Gang, Spec
from evq.core.state import Attempt, End

GIB = 2**30


def member(gang: str = "a", rank: int = 0, nodes: int = 3, **more: Any) -> Gathering:
    fields: dict[str, Any] = {"origin": 1, "queue": "q", "priority": 5, "size": "c0"}
    return Gathering(gang=gang, rank=rank, nodes=nodes, **(fields | more))


def agent(name: str, slots: int = 1, *held: Gathering, busy: int = 0, **more: Any) -> AgentPresence:
    return AgentPresence(
        agent=name,
        instance=name,
        host=name,
        pid=1,
        order="strict",
        slots=slots,
        **{
            "queues": ("q",),
            "offer": Offer(slots=slots),
            "free": Offer(slots=slots - len(held) - busy),
            "gathering": held,
            **more,
        },
    )


def gpus(count: int, free_memory: int = 80 * GIB) -> tuple[Device, ...]:
    return tuple(Device(str(n), n, "x", 80 * GIB, free_memory) for n in range(count))


@pytest.mark.parametrize(
    ("request_", "offer", "count"),
    [
        (Request(), Offer(slots=3), 3),
        (Request(cpus=2), Offer(slots=9, cpus=5), 2),
        (Request(memory=GIB), Offer(slots=9, memory=3 * GIB), 3),
        (Request(gpus=2), Offer(slots=9, devices=gpus(5)), 2),
        (Request(gpus=1, gpu_memory=20 * GIB), Offer(slots=9, devices=gpus(2)), 8),
        (Request(labels={"gpu": "a100"}), Offer(slots=3), 0),
    ],
)
def test_how_many_fit_side_by_side(request_: Request, offer: Offer, count: int) -> None:
    assert places(request_, offer) == count


def test_a_gang_begins_when_there_is_room_for_all() -> None:
    agents = [agent("x"), agent("y"), agent("z")]
    assert no_room(member(), agents) == ""
    assert "2 members" not in no_room(member(nodes=2), agents)
    agents[2] = agent("z", busy=1)
    assert "room for 2" in no_room(member(), agents)
    assert too_large(member(), agents) == "", "it may yet be free"
    assert "have 3 for it" in too_large(member(nodes=4), agents)


def test_an_agent_that_takes_nothing_or_serves_others_has_no_room() -> None:
    assert free(member(), [agent("x", draining=True)]) == 0
    assert free(member(), [agent("x", queues=("other",))]) == 0


@pytest.mark.parametrize("told", list(permutations(range(3))))
def test_old_words_and_new_ones_add_up(told: tuple[int, ...]) -> None:
    """Members are taken one after the other; whoever has not said so yet still has a free place."""
    agents = [agent(name) for name in "xyz"]
    for rank, place in enumerate(told):
        agents[place] = agent("xyz"[place], 1, member(rank=rank))
        assert no_room(member(), agents) == ""
        assert missing(member(), agents) == 2 - rank


def test_the_younger_leaves_room_to_the_older() -> None:
    older = member("old", nodes=2, origin=1)
    younger = member("young", nodes=2, origin=9)
    agents = [agent("x", 1, older), agent("y"), agent("z")]
    assert "gang old needs" in no_room(younger, agents)
    assert no_room(older, agents) == ""
    urgent = member("urgent", nodes=2, origin=9, priority=7)
    assert no_room(urgent, agents) == "", "priority goes before age"


def test_of_two_that_hold_half_one_gives_way() -> None:
    old = [member("old", rank, 3, origin=1) for rank in range(2)]
    young = [member("young", rank, 3, origin=9) for rank in range(2)]
    agents = [agent("w", 1, old[0]), agent("x", 1, old[1]), agent("y", 1, young[0])]
    agents.append(agent("z", 1, young[1]))
    assert must_give_way(young[0], agents[2], agents)
    assert must_give_way(young[1], agents[3], agents)
    assert not must_give_way(old[0], agents[0], agents)
    assert not must_give_way(old[1], agents[1], agents)


def test_nobody_gives_a_place_that_the_older_cannot_use() -> None:
    old = member("old", 0, 2, origin=1, queue="p")
    young = member("young", 0, 2, origin=9)
    me = agent("y", 1, young)
    assert not must_give_way(young, me, [me, agent("w", 1, old)])
    serving = agent("y", 1, young, queues=("q", "p"))
    assert must_give_way(young, serving, [serving, agent("w", 1, old)])


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(3, 9)), min_size=2),
    st.integers(1, 12),
)
def test_there_is_always_one_who_need_not_give_way(
    gangs: list[tuple[int, int, int]], slots: int
) -> None:
    """However the places are held: the first of all gangs stays, so there is no circle."""
    held = [
        member(f"g{number}", rank, nodes, origin=number, priority=priority)
        for number, (got, priority, nodes) in enumerate(gangs)
        for rank in range(min(got, nodes - 1))
    ]
    agents = [agent(f"w{number}", 1, one) for number, one in enumerate(held)]
    agents += [agent(f"free{number}") for number in range(slots)]
    first = min(held, key=lambda one: one.age)
    for one, where in zip(held, agents, strict=False):
        if one.gang == first.gang:
            assert not must_give_way(one, where, agents)


def test_a_limit_below_the_gang_s_size_keeps_it_out() -> None:
    assert "lets 2 run" in over_limit(member(), Permits(queue="q", reason="", most=2))
    assert "lets 1 run" in over_limit(member(), Permits(queue="q", reason="", most=5, per_user=1))
    assert over_limit(member(), Permits(queue="q", reason="", most=3)) == ""
    assert over_limit(member(), Permits(queue="q", reason="")) == ""


def test_a_limit_that_leaves_too_few_permits_puts_a_gang_off() -> None:
    held = tuple(Permit(f"t{number}", "ada", "w", "i") for number in range(2))
    taken = [agent("x", 1, member()), agent("y"), agent("z")]  # the one to be claimed is at x
    for limits, short in (
        ({"most": 4}, True),
        ({"most": 5}, False),
        ({"most": 9, "per_user": 4}, True),
        ({"most": 9, "per_user": 5}, False),
    ):
        permits = Permits(queue="q", reason="", held=held, **limits)
        assert bool(few_permits(member(), permits, "ada", taken)) == short


def test_a_task_without_a_gang_gathers_nothing() -> None:
    spec = Spec(entry=Command(("true",)), name="t", queue="q")
    assert gathering(create(1, 0, "me", Enqueued("t", spec))) is None


def test_holds_grow_with_the_wait_and_leave_time_to_others() -> None:
    assert not patience.is_old(59, 60) and patience.is_old(60, 60)
    assert patience.longest_hold(60, 60) == 60
    assert patience.longest_hold(3600, 60) == 900
    assert patience.longest_hold(1e9, 60) == 3600
    for waited in (60, 600, 6000, 60000):
        hold = patience.longest_hold(waited, 60)
        assert hold / (hold + patience.pause_after_hold(hold)) <= 2 / 3 + 1e-9


def test_pauses_after_withdrawals_grow_to_a_quarter_minute() -> None:
    spec = Spec(entry=Command(("true",)), name="t", queue="q", nodes=2, gang=Gang("t", 0))
    task = create(1, 0, "me", Enqueued("t", spec))
    pauses = []
    for number in range(1, 8):
        pauses.append(patience.pause_after_withdrawal(task))
        assert patience.waits_since(task) == 1
        end = End(1, None, Cause.GANG, "alone", None, None)
        tried = Attempt(number, "w", "i", 0, 10 + number, 1, 1.0, 1, end=end)
        task = replace(task, past=(*task.past, tried))
    assert pauses == [1, 2, 4, 8, 15, 15, 15]
