"""What an agent says of itself while it lives, renewed several times a lease."""

from __future__ import annotations

import msgspec

from .gather import Gathering
from .resources import Offer


class RunningTask(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A task that an agent has now; since when, `gpus` the ids of those it has."""

    task: str
    attempt: int
    name: str
    user: str
    slot: int
    since: int
    gpus: tuple[str, ...] = ()


class AgentPresence(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is there now. `claims` are the fencing tokens of its live attempts, `paused`
    is why it claims nothing at the moment, `offer` all that it has for tasks and `free` what of
    it no attempt has, `reserved` for whom it keeps some of that free, in words, `gathering` the
    members of gangs among its tasks that wait for the others."""

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
    gathering: tuple[Gathering, ...] = ()

    @property
    def takes(self) -> bool:
        """Whether it claims tasks, if it has a free slot."""
        return not self.draining and not self.paused


_decoder = msgspec.json.Decoder(AgentPresence)


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
