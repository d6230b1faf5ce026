"""Services: many light tasks at once on one agent, such as monitors, schedules, small servers.

Each is a sub-agent of its own, `AGENT/NAME`, with limits of its own, so that one which is stuck or
greedy does the others no harm.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .. import units
from ..errors import UsageError
from ..spec import Limits, Spec

QUEUE = "services"
"""Where `evq up` listens for them."""

SLOTS = 50
"""How many of them an agent runs at once, unless it is told otherwise."""

LIMITS = Limits(memory=512 * 2**20, cpus=1.0, processes=256)
"""What each may use that asks for nothing itself."""


def parse_limits(text: str) -> Limits:
    """The limits in `memory=1GiB,cpus=0.5,processes=100`, the others as they are by default.

    Raises `UsageError`.
    """
    given: dict[str, float | int] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            if name == "memory":
                given[name] = units.size(value)
            elif name == "cpus":
                given[name] = float(value)
            elif name == "processes":
                given[name] = int(value)
            else:
                raise ValueError(f"there is no limit {name!r}")
        except (ValueError, UsageError) as error:
            raise UsageError(
                f"{part!r} is no limit for services",
                why=f"{error}; limits are memory, cpus and processes",
                fix="--service-limits memory=512MiB,cpus=1,processes=256",
            ) from error
    return msgspec.structs.replace(LIMITS, **given)


def with_limits(asked: Limits | None, others: Limits) -> Limits:
    """What a task asked for itself, the rest as `others` say."""
    if asked is None:
        return others
    return Limits(
        memory=others.memory if asked.memory is None else asked.memory,
        cpus=others.cpus if asked.cpus is None else asked.cpus,
        processes=others.processes if asked.processes is None else asked.processes,
    )


def unfit(spec: Spec) -> Iterator[str]:
    """What a task declares that does not go with a service, in words."""
    limits = spec.limits or Limits()
    if spec.gpus or spec.gpu_memory is not None:
        yield "it asks for GPUs, and agents for services give none"
    if spec.nodes > 1:
        yield f"it asks for {spec.nodes} machines"
    if (limits.memory or 0) > 8 * (LIMITS.memory or 0):
        yield f"it asks for {units.size_text(limits.memory or 0)} of memory"
    if (limits.cpus or 0) > 2 * (LIMITS.cpus or 0):
        yield f"it asks for {limits.cpus:g} processors"
    if spec.torch_backend:
        yield "it asks for a build of torch"
