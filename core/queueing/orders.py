"""What administrators have asked of an agent, folded from the events about it.

The agent, the projector and the command line fold with this same function, so that an agent is
drained for all of them, or for none.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..events import DrainRequested, ResumeRequested


class Drain(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody took an agent, or these `gpus` of it (ids), out of use; `at` is in microseconds."""

    by: str
    at: int
    reason: str = ""
    gpus: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"drained by {self.by}" + (f": {self.reason}" if self.reason else "")


Drains = tuple[Drain, ...]


def obey(drains: Drains, at: int, by: str, order: DrainRequested | ResumeRequested) -> Drains:
    """The drains in force after an order, the oldest first.

    A drain of the whole agent leaves those of its GPUs as they are; to resume it ends all.
    """
    match order:
        case DrainRequested(reason=reason, gpus=()):
            return (*(one for one in drains if one.gpus), Drain(by, at, reason))
        case DrainRequested(reason=reason, gpus=gpus):
            return (*_besides(drains, gpus), Drain(by, at, reason, gpus))
        case ResumeRequested(gpus=()):
            return ()
        case ResumeRequested(gpus=gpus):
            return tuple(_besides(drains, gpus))


def _besides(drains: Drains, gpus: tuple[str, ...]) -> Iterable[Drain]:
    """The drains without these GPUs."""
    for one in drains:
        rest = tuple(gpu for gpu in one.gpus if gpu not in gpus)
        if rest or not one.gpus:
            yield msgspec.structs.replace(one, gpus=rest)


def whole(drains: Drains) -> Drain | None:
    """The drain of the whole agent, if there is one."""
    return next((one for one in drains if not one.gpus), None)


def drained_gpus(drains: Drains) -> tuple[str, ...]:
    """The ids of the GPUs that are out of use while the rest of the agent is not."""
    return tuple(gpu for one in drains for gpu in one.gpus)
