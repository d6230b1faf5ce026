"""What an autoscaler does next, from its state and what it sees. Nothing here looks or acts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import msgspec

from ...core.words.phrases import span
from .capacity import Room, Waiting, homeless, missing
from .definition import Definition
from .facts import (
    Arrived,
    Draining,
    Ending,
    Fact,
    Gone,
    Machine,
    Recalled,
    Stage,
    State,
    Wanted,
)

REFUSAL_SECONDS = 15.0
LONGEST_REFUSAL = 900.0
"""For how long a kind is not asked for again: each refusal doubles it."""

Decision = tuple[Fact, str]

Condition = Literal["alive", "preempted", "dead"]
"""How a machine is: `preempted` was taken back by its owner, `dead` has ended by itself."""


class Agent(msgspec.Struct, frozen=True):
    """An agent that is there: what it has free, whether it takes tasks, since when it has had
    nothing to do (microseconds since 1970; null while it has), and whether it is `drained` by this
    autoscaler alone."""

    room: Room
    takes: bool
    idle_since: int | None
    drained: bool = False


class Shown(msgspec.Struct, frozen=True):
    """A machine as its driver sees it."""

    ref: str
    kind: str
    condition: Condition = "alive"


class Look(msgspec.Struct, frozen=True):
    """What there is at `now` (microseconds since 1970, as all times here).

    `waiting` is the work that waits, in its order; `agents` are those that are there, by name, and
    `silent` since when others, which were there, are not. `machines` are by name what the drivers
    in `asked` have; a driver that did not answer says nothing about its machines.
    """

    now: int
    waiting: tuple[Waiting, ...] = ()
    agents: dict[str, Agent] = {}
    silent: dict[str, int] = {}
    machines: dict[str, Shown] = {}
    asked: frozenset[str] = frozenset()


def plan(name: str, state: State, look: Look) -> Decision | None:
    """The next decision of the autoscaler `name`, and its words; null if all is as it should be."""
    return next(_decisions(name, state, look), None)


def _decisions(name: str, state: State, look: Look) -> Iterator[Decision]:
    definition = state.definition
    if definition is None:
        return
    if not state.stopped:
        yield from _recalls(state, look, definition)
    for machine in state.machines.values():
        yield from _of_machine(state, machine, look, definition)
    yield from _strays(state, look)
    if state.stopped:
        yield from _farewells(state)
        return
    yield from _surplus(state, look, definition)
    yield from _additions(name, state, look, definition)


# --- one machine ------------------------------------------------------------------------------


def _of_machine(
    state: State, machine: Machine, look: Look, definition: Definition
) -> Iterator[Decision]:
    shown, agent = look.machines.get(machine.name), look.agents.get(machine.name)
    age = _seconds(machine.since, look.now)
    if shown and shown.condition != "alive" and machine.stage is not Stage.ENDING:
        yield _broken(machine, shown)
        return
    match machine.stage:
        case Stage.WANTED:
            # It may be there: whoever asked for it may have died before it was written down.
            if state.stopped or machine.kind not in definition.kinds:
                yield Ending(machine.name, "stopped"), f"{machine.name} is not wanted any more"
        case Stage.LAUNCHED:
            if agent:
                yield Arrived(machine.name), f"{machine.name} is there, after {span(age)}"
            elif age > definition.spin_up:
                words = f"{machine.name} is given up: no agent after {span(age)}"
                yield Ending(machine.name, "stuck"), words
        case Stage.HERE:
            if agent is None:
                yield from _silent(state, machine, look, definition)
            elif agent.drained:
                # By a controller that had been replaced when its order came.
                yield Recalled(machine.name), f"{machine.name} is called back: it is wanted"
            else:
                yield from _idle(state, machine, agent, look, definition)
        case Stage.DRAINING:
            if agent is None or (agent.idle_since is not None and not agent.takes):
                words = f"{machine.name} has nothing more to do and is ended"
                yield Ending(machine.name, machine.cause or "idle"), words
        case Stage.RECALLED:
            if agent is None:
                yield from _silent(state, machine, look, definition)
            elif not agent.drained:
                yield Arrived(machine.name), f"{machine.name} takes tasks again"
        case Stage.ENDING:
            if shown is None and _was_asked(state, machine, look):
                yield Gone(machine.name), f"{machine.name} is gone ({machine.cause})"


def _broken(machine: Machine, shown: Shown) -> Decision:
    if shown.condition == "preempted":
        return Ending(machine.name, "preempted"), f"{machine.name} was taken back by its owner"
    cause = machine.cause or "lost"
    return Ending(machine.name, cause), f"{machine.name} has ended by itself"


def _was_asked(state: State, machine: Machine, look: Look) -> bool:
    kind = state.kinds.get(machine.kind)
    # A stray of a kind that nobody knows any more has no driver that could still have it.
    return kind is None or kind.driver in look.asked


def _silent(
    state: State, machine: Machine, look: Look, definition: Definition
) -> Iterator[Decision]:
    since = look.silent.get(machine.name)
    if since is None or not _was_asked(state, machine, look):
        return
    if machine.name not in look.machines:
        yield Ending(machine.name, "lost"), f"{machine.name} is lost: it is not there any more"
    elif _seconds(since, look.now) > definition.silence:
        silence = span(_seconds(since, look.now))
        words = f"{machine.name} is lost: its agent has been silent for {silence}"
        yield Ending(machine.name, "lost"), words


def _idle(
    state: State, machine: Machine, agent: Agent, look: Look, definition: Definition
) -> Iterator[Decision]:
    kind = definition.kinds.get(machine.kind)
    if kind is None or agent.idle_since is None or not agent.takes:
        return
    if len(_standing(state, machine.kind)) <= kind.least:
        return
    idle = _seconds(max(agent.idle_since, machine.since), look.now)
    if idle > definition.idle and not any(map(agent.room.fits, look.waiting)):
        words = f"{machine.name} has had nothing to do for {span(idle)}: it is drained"
        yield Draining(machine.name, "idle"), words


def _standing(state: State, kind: str) -> list[Machine]:
    """The machines of a kind that are there or come, and are not on their way out."""
    out = (Stage.DRAINING, Stage.ENDING)
    return [one for one in state.machines.values() if one.kind == kind and one.stage not in out]


def _strays(state: State, look: Look) -> Iterator[Decision]:
    """Machines that bear our name, and that no decision of ours accounts for: one was refused and
    came nevertheless, or is back after it was gone."""
    for name, shown in look.machines.items():
        if name not in state.machines:
            words = f"{name} is there, and nobody asked for it: it is ended"
            yield Ending(name, "stray", shown.kind, shown.ref), words


def _farewells(state: State) -> Iterator[Decision]:
    for machine in state.machines.values():
        if machine.stage is Stage.LAUNCHED:
            yield Ending(machine.name, "stopped"), f"{machine.name} is not needed any more"
        elif machine.stage is Stage.HERE:
            yield Draining(machine.name, "stopped"), f"{machine.name} is drained: all are to go"


# --- more and fewer ---------------------------------------------------------------------------


def _surplus(state: State, look: Look, definition: Definition) -> Iterator[Decision]:
    """Machines above what is wished now, those first that have nothing to do."""
    for kind in {one.kind for one in state.machines.values()}:
        wished = definition.kinds[kind].most if kind in definition.kinds else 0
        there = [one for one in _standing(state, kind) if one.stage is Stage.HERE]
        too_many = len(_standing(state, kind)) - wished
        there.sort(key=lambda one: (_is_busy(look, one), one.born))
        for machine in there[: max(0, too_many)]:
            words = f"{machine.name} is drained: at most {wished} of {kind} are wished"
            yield Draining(machine.name, "surplus"), words


def _is_busy(look: Look, machine: Machine) -> bool:
    agent = look.agents.get(machine.name)
    return agent is not None and agent.idle_since is None


def _recalls(state: State, look: Look, definition: Definition) -> Iterator[Decision]:
    """Machines on their way out that could do what waits now: another one would come later, and
    cost more."""
    lacking = list(homeless(look.waiting, _rooms(state, look)))
    for machine in state.machines.values():
        kind, agent = definition.kinds.get(machine.kind), look.agents.get(machine.name)
        if kind is None or agent is None or not _can_be_recalled(machine, agent, look):
            continue
        standing = len(_standing(state, machine.kind))
        if standing >= kind.most:
            continue
        if one := next(filter(agent.room.fits, lacking), None):
            words = f"{machine.name} is called back: {one.task} waits in {one.queue}"
            yield Recalled(machine.name), words
        elif standing < kind.least:
            words = f"{machine.name} is called back: at least {kind.least} are wished"
            yield Recalled(machine.name), words


def _can_be_recalled(machine: Machine, agent: Agent, look: Look) -> bool:
    # As long as its agent has not heard of the drain, to resume it could come too early.
    shown = look.machines.get(machine.name)
    alive = shown is not None and shown.condition == "alive"
    return machine.stage is Stage.DRAINING and agent.drained and alive


def _additions(name: str, state: State, look: Look, definition: Definition) -> Iterator[Decision]:
    for kind, wish in definition.kinds.items():
        standing = len(_standing(state, kind))
        if standing < wish.least and _may_add(state, kind, look.now, definition):
            yield _wanted(name, state, kind, f"at least {wish.least} are wished", definition)
    patient = [one for one in look.waiting if _waits_long(one, look, definition)]
    lacking = list(missing(definition, patient, _rooms(state, look)))
    counts = Counter(kind for kind, _ in lacking)
    for kind, one in lacking:
        if _may_add(state, kind, look.now, definition):
            waits = span(_seconds(one.since, look.now))
            others = f" and {counts[kind] - 1} more are missing" if counts[kind] > 1 else ""
            why = f"{one.task} waits in {one.queue} for {waits}{others}"
            yield _wanted(name, state, kind, why, definition)


def _waits_long(one: Waiting, look: Look, definition: Definition) -> bool:
    return _seconds(one.since, look.now) >= definition.patience


def _rooms(state: State, look: Look) -> Iterator[Room]:
    """What agents have free, ours and others, and what is on its way."""
    yield from (agent.room for agent in look.agents.values() if agent.takes)
    for machine in state.machines.values():
        kind, agent = state.kinds.get(machine.kind), look.agents.get(machine.name)
        coming = machine.stage in (Stage.WANTED, Stage.LAUNCHED)
        if kind and coming and agent is None:
            yield Room(kind.queues, kind.offer)
        elif agent and machine.stage is Stage.RECALLED and not agent.takes:
            yield agent.room


def _may_add(state: State, kind: str, now: int, definition: Definition) -> bool:
    """Whether limits, budget and recent refusals allow another machine of this kind."""
    wish = definition.kinds[kind]
    # One on its way out counts until it is gone: the limit is one of machines, not of wishes.
    there = list(state.machines.values())
    if len(there) >= definition.most or sum(one.kind == kind for one in there) >= wish.most:
        return False
    costs = [state.kinds[one.kind].cost for one in there if one.kind in state.kinds]
    if definition.budget is not None and sum(costs) + wish.cost > definition.budget:
        return False
    count, at = state.refusals.get(kind, (0, 0))
    pause = min(REFUSAL_SECONDS * 2 ** (count - 1), LONGEST_REFUSAL) if count else 0.0
    return _seconds(at, now) >= pause


def _wanted(name: str, state: State, kind: str, why: str, definition: Definition) -> Decision:
    machine = f"{name}-{kind}-{state.last + 1}"
    there = sum(one.kind == kind for one in state.machines.values()) + 1
    of = f"{there} of {definition.kinds[kind].most} {kind}"
    return Wanted(machine, kind), f"adds {machine}: {why}; {of}{_hourly(state, kind, definition)}"


def _hourly(state: State, kind: str, definition: Definition) -> str:
    """What all machines cost in an hour with one more of this kind, if they cost anything."""
    kinds = [*(one.kind for one in state.machines.values()), kind]
    cost = sum(state.kinds[one].cost for one in kinds if one in state.kinds)
    if not cost:
        return ""
    limit = f" of {definition.budget:g}" if definition.budget is not None else ""
    return f", {cost:.2f}{limit} an hour"


def _seconds(since: int, now: int) -> float:
    return max(0.0, (now - since) / 1e6)
