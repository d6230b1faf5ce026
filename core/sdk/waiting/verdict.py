"""What a task that is queued waits for: the first cause in a sentence, then the facts.

Everything is decided here from what was asked before, so that each situation can be tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from ...fleet.presence import AgentPresence, PassedBy
from ...fleet.resources import (
    NO_CLIENT,
    NO_SLOT,
    Offer,
    Request,
    delays,
    lacks,
    parse_size,
    request_of,
)
from ...queueing.permits import Permits, limit_text
from ...queueing.queues import QueueState
from ...state import Queued, Task
from ...words.phrases import ago, count_of, span
from ..autoscalers import Autoscaler
from .forecast import Before, Forecast, History, forecast
from .gangs import gang_shortage
from .machines import machine_text, starter

Cause = Literal[
    "retry_delay",
    "queue_paused",
    "machine",
    "no_agent",
    "no_machine",
    "agents_closed",
    "dependency",
    "turn",
    "limit",
    "gang",
    "reserved",
    "behind",
    "no_room",
    "other_queues",
    "about_to_start",
]
"""What a task waits for in the first place; docs/cli.md has their meanings."""

FAR = 500
"""Tasks before it above which nothing is said about the start."""


class Reason(msgspec.Struct, frozen=True):
    """A fact, and whether it is as it should be for the task to start."""

    ok: bool
    text: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known. `before` are the tasks that stand before it, `now` is in microseconds.

    Without a projector, `position` and `history` are null.
    """

    task: Task
    agents: Sequence[AgentPresence]
    queue: QueueState
    position: int | None
    before: Sequence[Before]
    history: History | None
    now: int
    permits: Permits
    members: Sequence[Task] = ()
    """The members of its gang by rank, if it has one."""
    autoscalers: Sequence[Autoscaler] = ()
    """Those that have machines for its queue; not asked for if an agent could run it."""


class View(msgspec.Struct, frozen=True):
    """An agent that serves the task's queue, as the task sees it.

    `never` is what it lacks even when it is empty, `lacks` what it lacks now, `closed` why it
    takes nothing, and `kept` for whom it keeps the room that the task would need.
    """

    agent: AgentPresence
    never: tuple[str, ...]
    lacks: tuple[str, ...]
    closed: str
    kept: str
    passed: PassedBy | None

    @property
    def ready(self) -> bool:
        """Whether it could take the task this moment."""
        return not (self.never or self.lacks or self.closed or self.kept)


class Verdict(msgspec.Struct, frozen=True):
    """Why the task waits. `start_unknown` says why nothing is said about its start."""

    cause: Cause
    text: str
    reasons: tuple[Reason, ...]
    views: tuple[View, ...]
    start: Forecast | None
    start_unknown: str


def verdict(facts: Facts) -> Verdict:
    """Why the task waits."""
    views = _views(facts)
    cause, text = _cause(facts, views)
    start, unknown = _start(facts, views, cause)
    reasons = (
        *_place(facts),
        *_limit(facts),
        *(_reason(view, facts.now) for view in views),
        *(Reason(*machine_text(one, facts.task.spec, facts.now)) for one in facts.autoscalers),
        *_elsewhere(facts, cause),
    )
    return Verdict(cause, text, reasons, views, start, unknown)


def is_served(facts: Facts) -> bool:
    """Whether an agent that takes tasks could run it, at least when it has nothing else to do."""
    return any(not view.never and not view.closed for view in _views(facts))


# --- one agent ------------------------------------------------------------------------------------


def _views(facts: Facts) -> tuple[View, ...]:
    return tuple(_view(facts, agent) for agent in facts.agents if _serves(facts, agent))


def _serves(facts: Facts, agent: AgentPresence) -> bool:
    return facts.task.place.queue in agent.queues


def _view(facts: Facts, agent: AgentPresence) -> View:
    place = facts.task.place
    asked = request_of(facts.task.spec)
    request = agent.request(asked, place.queue)
    never = tuple(lacks(request, _undrained(agent.offer)))
    if facts.task.spec.client and not agent.client:
        never += (NO_CLIENT,)
    mine = (place.queue, place.priority, asked.size)
    passed = [one for one in agent.passed if (one.queue, one.priority, one.size) == mine]
    return View(
        agent=agent,
        never=never,
        lacks=() if never else tuple(lacks(request, agent.free)),
        closed=closed(agent),
        kept=_kept(agent, request, mine),
        passed=passed[0] if passed else None,
    )


def _undrained(offer: Offer) -> Offer:
    devices = tuple(msgspec.structs.replace(device, drained="") for device in offer.devices)
    return msgspec.structs.replace(offer, devices=devices)


def _kept(agent: AgentPresence, request: Request, mine: tuple[str, int, str]) -> str:
    """For whom the agent keeps room that a task with this request would take."""
    for one in agent.passed:
        if one.reserved and (one.queue, one.priority, one.size) != mine:
            wanted = agent.request(parse_size(one.size), one.queue)
            if delays(request, wanted, agent.free):
                return f"task {one.task} of queue {one.queue}"
    return ""


def closed(agent: AgentPresence) -> str:
    """Why an agent takes no task at all now; empty if it does."""
    if agent.draining:
        return "is being stopped and takes nothing more"
    if agent.drained:
        return f"is {agent.drained}  (evq resume {agent.agent})"
    if agent.paused:
        return f"has paused: {agent.paused}"
    return ""


def _reason(view: View, now: int) -> Reason:
    agent = view.agent
    if view.never:
        return Reason(False, f"{agent.agent}: can never run it, {missing(agent, view.never)}")
    if view.closed:
        return Reason(False, f"{agent.agent}: {view.closed}")
    if view.lacks:
        return Reason(False, f"{agent.agent}: {missing(agent, view.lacks)}{_passed(view, now)}")
    if view.kept:
        return Reason(False, f"{agent.agent}: keeps its room for {view.kept}")
    room = f"{agent.agent}: has room, {agent.free.slots} of {agent.slots} slots are free"
    return Reason(True, room + _passed(view, now))


def missing(agent: AgentPresence, lacking: Sequence[str]) -> str:
    """What an agent lacks, in words."""
    slots = "its slot is busy" if agent.slots == 1 else f"all its {agent.slots} slots are busy"
    others = ", ".join(one for one in lacking if one != NO_SLOT)
    drained = sum(bool(device.drained) for device in agent.free.devices)
    words = f"lacks {others}" + (f" ({count_of(drained, 'GPU')} drained)" if drained else "")
    return "; ".join([slots] * (NO_SLOT in lacking) + [words] * bool(others))


def _passed(view: View, now: int) -> str:
    if view.passed is None:
        return ""
    went = count_of(view.passed.times, "task")
    text = f"; {went} went past its class there in {ago(view.passed.since, now)}"
    return text + ("; it keeps room for it now" if view.passed.reserved else "")


# --- the first cause ------------------------------------------------------------------------------


def _cause(facts: Facts, views: Sequence[View]) -> tuple[Cause, str]:
    """The first thing that has to change."""
    task, queue = facts.task, facts.task.place.queue
    assert isinstance(task.state, Queued)
    rest = task.state.delay - (facts.now - task.state.since) / 1e6
    if rest > 0:
        return (
            "retry_delay",
            f"it failed {count_of(task.failures, 'time')} and is due in {span(rest)}",
        )
    if pause := facts.queue.pause:
        why = f": {pause.reason}" if pause.reason else ""
        return "queue_paused", (
            f"queue {queue} is paused by {pause.by} since {ago(pause.at, facts.now)}{why}"
            f"  (evq queue resume {queue})"
        )
    if one := starter(facts.autoscalers, task.spec):
        text = f"it waits for a machine: autoscaler {one.name} starts them for queue {queue}"
        return "machine", text
    if not views:
        return "no_agent", _nobody(facts, queue)
    able = [view for view in views if not view.never]
    if not able:
        text = f"none of the {len(views)} agents that serve queue {queue} can ever run it"
        if len(views) == 1:
            agent, lacking = views[0].agent, views[0].never
            text = f"agent {agent.agent} can never run it: it {missing(agent, lacking)}"
        return "no_machine", text
    taking = [view for view in able if not view.closed]
    if not taking:
        only = able[0]
        text = f"the {len(able)} agents that could run it take nothing now"
        if len(able) == 1:
            text = f"agent {only.agent.agent} could run it, but it {only.closed}"
        return "agents_closed", text
    if lack := facts.permits.lacks(task.spec.user):
        return "limit", f"limit: {lack}  (evq queue {queue})"
    if short := gang_shortage(task, facts.agents, facts.permits):
        return "gang", short
    return _in_line(facts, taking)


def _nobody(facts: Facts, queue: str) -> str:
    others = ", ".join(sorted({name for one in facts.agents for name in one.queues}))
    served = f"; served are: {others}" if others else ", and no agent is there at all"
    return f"no agent serves queue {queue}{served}  (evq agent --queues {queue})"


def _in_line(facts: Facts, taking: Sequence[View]) -> tuple[Cause, str]:
    """An agent could run it, and only time is wanted."""
    ready = [view for view in taking if view.ready]
    ahead = _really_before(facts, taking)
    if ready and not ahead:
        busy = [view for view in ready if _others_first(view, facts.task.place.queue)]
        if len(busy) == len(ready):
            first = busy[0].agent
            return "other_queues", (
                f"agent {first.agent} has room, but takes from {first.queues[0]} first"
            )
        name = next(view.agent.agent for view in ready if view not in busy)
        return "about_to_start", f"it is next: agent {name} takes it any moment"
    if ahead:
        text = f"{count_of(len(ahead), 'task')} of queue {facts.task.place.queue} "
        return "behind", text + ("goes" if len(ahead) == 1 else "go") + " before it"
    if all(view.kept and not view.lacks for view in taking):
        return "reserved", f"the room that it needs is kept for {taking[0].kept}"
    keeping = [view for view in taking if view.passed and view.passed.reserved]
    if keeping and keeping[0].passed and keeping[0].passed.task == facts.task.id:
        name = keeping[0].agent.agent
        return "no_room", f"no agent has room for it yet; {name} keeps what becomes free for it"
    return "no_room", "no agent has room for it now"


def _really_before(facts: Facts, taking: Sequence[View]) -> list[Before]:
    """Those before it that one of its agents could run, too: the others do not keep it waiting."""
    queue, known = facts.task.place.queue, {}
    for one in facts.before:
        if one.size not in known:
            known[one.size] = any(
                _could(view.agent, parse_size(one.size), queue) for view in taking
            )
    return [one for one in facts.before if known[one.size]]


def _could(agent: AgentPresence, request: Request, queue: str) -> bool:
    return not lacks(agent.request(request, queue), agent.offer)


def _others_first(view: View, queue: str) -> bool:
    return view.agent.order == "strict" and view.agent.queues[0] != queue


# --- the facts ------------------------------------------------------------------------------------


def _place(facts: Facts) -> list[Reason]:
    if facts.position is None:
        return []
    queue = facts.task.place.queue
    place = Reason(facts.position == 1, f"it stands at place {facts.position} of queue {queue}")
    return [place, *_turns(facts)]


def _turns(facts: Facts) -> list[Reason]:
    """Who has how much of a queue that is shared out evenly: whoever has least is next."""
    if not facts.queue.fair:
        return []
    queue, user = facts.task.place.queue, facts.task.spec.user
    share = Counter({user: 0})
    for agent in facts.agents:
        for task in agent.running:
            if task.queue == queue:
                share[task.user] += max(1, len(task.gpus))
    least = share[user] == min(share.values())
    running = ", ".join(f"{name or 'nobody'} {count}" for name, count in sorted(share.items()))
    return [Reason(least, f"queue {queue} is shared out evenly among users; running: {running}")]


def _limit(facts: Facts) -> list[Reason]:
    if not facts.permits.limited:
        return []
    lack = facts.permits.lacks(facts.task.spec.user)
    return [Reason(not lack, f"limit: {lack or limit_text(facts.permits)}")]


def _elsewhere(facts: Facts, cause: Cause) -> list[Reason]:
    """Agents that could run it, if only it stood in a queue of theirs."""
    if cause not in ("no_agent", "no_machine"):
        return []
    asked = request_of(facts.task.spec)
    able = [
        agent
        for agent in facts.agents
        if not _serves(facts, agent)
        and not closed(agent)
        and any(_could(agent, asked, queue) for queue in agent.queues)
    ]
    move = f"evq move {facts.task.id} --to"
    return [
        Reason(
            False,
            f"{agent.agent}: could run it, but serves {', '.join(agent.queues)}"
            f"  ({move} {agent.queues[0]})",
        )
        for agent in able
    ]


def _start(facts: Facts, views: Sequence[View], cause: Cause) -> tuple[Forecast | None, str]:
    """When it starts, or why that is not known."""
    if cause in ("queue_paused", "no_agent", "no_machine", "agents_closed"):
        return None, "somebody has to do something first"
    if cause == "machine":
        return None, "its machine is not there yet"
    if cause == "gang":
        return None, "all its ranks have to find room at once"
    if facts.history is None or facts.position is None:
        return None, "no projector answers, which knows the past"
    if len(facts.before) >= FAR:
        return None, f"more than {FAR} tasks go before it"
    queue = facts.task.place.queue
    taking = [view.agent for view in views if not view.never and not view.closed]
    start = forecast(
        request_of(facts.task.spec),
        queue,
        facts.before,
        taking,
        facts.history,
        facts.now,
        facts.task.id,
    )
    if start is None:
        return None, f"too few tasks of queue {queue} have ended to say"
    return start, ""
