"""Machines that are called back while they drain."""

from __future__ import annotations

from typing import Any

import msgspec
from machines import SMALL, World, names

from evq.services.autoscaler.definition import Definition
from evq.services.autoscaler.facts import Defined, Stage, Stopped
from evq.services.autoscaler.planning import Shown


def drained_while_busy() -> World:
    """One machine at work, which is drained because none is wished any more, and one slot free."""
    world = World(Definition({"small": msgspec.structs.replace(SMALL, slots=2)}))
    world.wait(1)
    world.turn()
    world.arrive()
    world.turn()
    wish(world, most=0)
    assert names(world.turn()) == ["Draining"]
    assert world.drained == {"a-small-1"}
    return world


def wish(world: World, **changes: Any) -> None:
    kind = msgspec.structs.replace(SMALL, slots=2, **changes)
    world.note(Defined(Definition({"small": kind})), "others are wished")


def test_a_machine_that_is_drained_is_called_back_when_work_comes() -> None:
    world = drained_while_busy()
    world.wait(1)
    assert world.turn() == []  # none is wished
    wish(world)
    # What is on its way back counts: no other one is added meanwhile.
    assert names(world.decide()) == ["Recalled"]
    assert world.decide() == [] and world.drained
    assert names(world.turn()) == ["Arrived"]
    assert not world.drained
    [machine] = world.state.machines.values()
    assert (machine.name, machine.stage, machine.cause) == ("a-small-1", Stage.HERE, None)
    assert "is called back: t0 waits in q" in world.journal[-2].words


def test_the_least_are_called_back_too() -> None:
    world = drained_while_busy()
    wish(world, least=1)
    assert names(world.turn()) == ["Recalled", "Arrived"]


def test_one_that_has_not_heard_or_is_ended_or_cannot_run_it_is_not_called_back() -> None:
    world = drained_while_busy()
    wish(world)
    world.drained.clear()
    world.wait(1)
    assert world.decide() == []  # its agent takes tasks still
    world.drained.add("a-small-1")
    world.machines["a-small-1"] = Shown("ref", "small", "preempted")
    assert names(world.decide()) == ["Ending", "Wanted"]
    world = drained_while_busy()
    wish(world)
    world.wait(1, gpus=1)
    assert world.turn() == []


def test_to_stop_calls_nothing_back_and_waits_for_what_comes_back() -> None:
    world = drained_while_busy()
    world.wait(1)
    world.note(Stopped(), "that is all")
    assert world.turn() == []
    wish(world)
    assert names(world.decide()) == ["Recalled"]
    world.note(Stopped(), "that is all")
    # Its agent may be at a task that nobody has seen yet: it is drained anew, not ended.
    assert names(world.turn()) == ["Arrived", "Draining"]


def test_a_drain_that_came_late_is_undone() -> None:
    world = World(Definition({"small": SMALL}))
    world.wait(1)
    world.turn()
    world.arrive()
    world.turn()
    world.drained.add("a-small-1")
    assert names(world.turn()) == ["Recalled", "Arrived"]
