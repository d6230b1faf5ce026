"""What an agent says of itself while it lives, renewed several times a lease."""

from __future__ import annotations

import msgspec

from .resources import Offer


class RunningTask(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A task that an agent has now; since when, `gpus` the ids of those it has."""

    task: str
    attempt: int
    name: str
    user: str
    slot: int
    since: int
    queue: str = ""
    gpus: tuple[str, ...] = ()


class PassedBy(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The first task of a class that waits while an agent begins others: how many these are
    (`times`), since when they are counted, and what the agent lacks for it, in words."""

    task: str
    queue: str
    priority: int
    size: str
    since: int
    times: int
    lacks: tuple[str, ...]


class AgentPresence(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that is there now. `claims` are the fencing tokens of its live attempts, `paused`
    is why it claims nothing at the moment, `offer` all that it has for tasks and `free` what of
    it no attempt has, `reserved` for whom it keeps some of that free, in words, and
    `passed` whom it passes by."""

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
