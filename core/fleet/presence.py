"""What an agent says of itself while it lives, renewed several times a lease."""

from __future__ import annotations

import msgspec

from ..gangs.gather import Gathering
from ..queueing.orders import Drain, Drains, drained_gpus, whole
from .resources import NOTHING, Device, Offer, Request
from .served import GpuCount, wanted


class RunningTask(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A task that an agent has now; since when, `size` its class, `gpus` the ids of its GPUs.

    `quiet` is since when it has said and used nothing, if that is for long; see `quiet`.
    """

    task: str
    attempt: int
    name: str
    user: str
    slot: int
    since: int
    queue: str = ""
    size: str = NOTHING
    gpus: tuple[str, ...] = ()
    quiet: int | None = None


class PassedBy(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The first task of a class that waits while an agent begins others: how many these are
    (`times`), since when they are counted, what the agent lacks for it, in words, and whether it
    keeps room for it."""

    task: str
    queue: str
    priority: int
    size: str
    since: int
    times: int
    lacks: tuple[str, ...]
    reserved: bool = False


class AgentPresence(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is there now. `claims` are the fencing tokens of its live attempts, `paused`
    is why it claims nothing at the moment, `offer` all that it has for tasks and `free` what of
    it no attempt has, `reserved` for whom it keeps some of that free, in words, and
    `passed` whom it passes by, `queue_gpus` how many GPUs a queue's task gets that asks for none.
    `drains` are the orders that keep it or some of its GPUs out of use, `services` says that it
    runs many light tasks at once, `client` that it gives a login to the server to tasks that ask
    for one. `gathering` are the members of gangs among its tasks that wait
    for the others."""

    agent: str
    instance: str
    host: str
    pid: int
    queues: tuple[str, ...]
    order: str
    slots: int
    claims: tuple[int, ...] = ()
    draining: bool = False
    since: int = 0
    paused: str = ""
    offer: Offer = Offer()
    free: Offer = Offer()
    running: tuple[RunningTask, ...] = ()
    reserved: str = ""
    passed: tuple[PassedBy, ...] = ()
    queue_gpus: dict[str, GpuCount] = {}
    drains: Drains = ()
    services: bool = False
    client: bool = False
    gathering: tuple[Gathering, ...] = ()

    def request(self, request: Request, queue: str) -> Request:
        """What a task of the queue that asks for `request` wants here."""
        return wanted(request, self.queue_gpus.get(queue))

    @property
    def takes(self) -> bool:
        """Whether it claims tasks, if it has a free slot."""
        return not self.draining and not self.paused and not self.drained

    @property
    def drained(self) -> Drain | None:
        """Who took it out of use, if somebody did; its running tasks go on."""
        return whole(self.drains)

    @property
    def devices(self) -> tuple[Device, ...]:
        """Its GPUs as they are now."""
        return self.free.devices or self.offer.devices

    @property
    def drained_gpus(self) -> tuple[str, ...]:
        """The ids of its GPUs that somebody took out of use."""
        return drained_gpus(self.drains)

    def sub_agent(self, running: RunningTask) -> str:
        """What one of its tasks is called where an agent for services shows each by itself."""
        return f"{self.agent}/{running.name}"


class NameHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent has a name; `lease` is in seconds, `home` tells its folder from all others."""

    agent: str
    instance: str
    host: str
    pid: int
    since: int
    lease: float
    home: str


def presence_key(agent: str, instance: str) -> str:
    """Where an agent's instance says that it lives. A restarted agent has another key, so that
    the silence of the one before is not covered up."""
    return f"{agent}.{instance}"


_decoder = msgspec.json.Decoder(AgentPresence)
_holder = msgspec.json.Decoder(NameHolder)


def encode_presence(presence: AgentPresence) -> bytes:
    """The presence as bytes."""
    return msgspec.json.encode(presence)


def decode_presence(data: bytes | None) -> AgentPresence | None:
    """The presence in `data`; None if there is none or it cannot be read."""
    if not data:
        return None
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return None


def encode_holder(holder: NameHolder) -> bytes:
    """The holder of a name as bytes."""
    return msgspec.json.encode(holder)


def decode_holder(data: bytes | None) -> NameHolder | None:
    """The holder in `data`; None if there is none or it cannot be read."""
    if not data:
        return None
    try:
        return _holder.decode(data)
    except msgspec.DecodeError:
        return None
