"""What is wished of an autoscaler: kinds of machines, how many of each, and what they may cost.

most = 8                 # machines of all kinds together
budget = 4.0             # what all of them may cost in an hour
idle = "10m"             # a machine with nothing to do goes after this
spin_up = "5m"           # one whose agent is not there after this is given up

[kinds.small]
driver = "docker"        # docker, local, aws or hook
queues = ["default"]
cpus = 4
memory = "16G"
most = 5
cost = 0.2               # in an hour

[kinds.small.place]      # what its driver wants to know
image = "evq-agent"
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ...core.errors import UsageError
from ...core.fleet.kinds import MachineKind
from ...core.fleet.labels import check_labels
from ...core.ids import check_name
from ...core.sdk.reading import parse_toml
from ...core.units import seconds, size

MACHINES = 1000
"""The most that one autoscaler may have."""


class Kind(MachineKind, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A kind of machine, how many of them are wished, and how they are had.

    `least` and `most` are numbers of machines, `cost` is that of one in an hour, in any currency.
    A `spot` machine may be taken away at any time. `place` is what its driver wants to know.
    """

    driver: Literal["local", "docker", "aws", "hook"]
    order: str = "strict"
    least: int = 0
    most: int = 1
    cost: float = 0.0
    spot: bool = False
    place: dict[str, Any] = msgspec.field(default_factory=dict)


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An autoscaler. Durations are in seconds.

    `patience` is how long a task may wait before a machine is added for it, `silence` how long an
    agent may say nothing before its machine counts as lost. `server` is the address of the server
    as machines see it, if that is another one than ours.
    """

    kinds: dict[str, Kind]
    most: int = MACHINES
    budget: float | None = None
    idle: float = 600.0
    spin_up: float = 300.0
    patience: float = 0.0
    silence: float = 60.0
    look: float = 10.0
    server: str | None = None


_DURATIONS = ("idle", "spin_up", "patience", "silence", "look")
_SIZES = ("memory", "gpu_memory")


def read_definition(text: str, where: str) -> Definition:
    """The definition in a TOML file; `where` names it. Raises `UsageError`."""
    try:
        return check_definition(msgspec.convert(_plain(parse_toml(text, where)), Definition))
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{where} does not describe an autoscaler",
            why=str(error),
            fix="docs/autoscaler.md has an example, and tells what each word means",
        ) from error


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    """The table, with durations and sizes as numbers."""
    found = dict(table)
    for name in _DURATIONS:
        if name in found:
            found[name] = seconds(str(found[name]))
    kinds = found.get("kinds")
    if isinstance(kinds, dict):
        found["kinds"] = {name: _plain_kind(kind) for name, kind in kinds.items()}
    return found


def _plain_kind(kind: Any) -> Any:
    if not isinstance(kind, dict):
        return kind
    sizes = {name: size(str(kind[name])) for name in _SIZES if name in kind}
    return {**kind, **sizes}


def check_definition(definition: Definition) -> Definition:
    """The definition, if it makes sense. Raises `UsageError`."""
    if not definition.kinds:
        raise UsageError("an autoscaler needs a kind of machine", fix="add a table [kinds.small]")
    if not 0 < definition.most <= MACHINES:
        raise UsageError(f"most is {definition.most}", why=f"it may be 1 to {MACHINES}")
    if definition.look <= 0:
        raise UsageError(
            "look is zero", why="it is how often the machines are looked at", fix="10s"
        )
    for name, kind in definition.kinds.items():
        _check_kind(check_name(name, "kind of machine"), kind)
    if sum(kind.least for kind in definition.kinds.values()) > definition.most:
        raise UsageError(
            f"most is {definition.most}",
            why="the kinds want more than that at least",
            fix="raise most, or lower a kind's least",
        )
    return definition


def _check_kind(name: str, kind: Kind) -> None:
    if not kind.queues:
        raise UsageError(f"kind {name} serves no queue", fix='queues = ["default"]')
    for queue in kind.queues:
        check_name(queue, "queue")
    check_labels(kind.labels, f"kind {name}, label")
    if not 0 <= kind.least <= kind.most:
        raise UsageError(
            f"kind {name} wants at least {kind.least} and at most {kind.most} machines",
            why="the first must not be above the second, nor below zero",
        )
    if kind.cost < 0 or kind.gpus < 0 or (kind.slots is not None and kind.slots < 1):
        raise UsageError(f"kind {name} has a number that is too small")
