"""How machines are had: one driver for each place they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from ....core.configuration import OF_A_SERVER
from ....core.errors import EvqError
from ....core.sdk.settings import load
from ....core.settings import PATHS, variable
from ..definition import Definition, Kind
from ..planning import Shown

END_SECONDS = 30
"""How long a machine's agent has to give its tasks back before it is ended the hard way."""


class Refusal(Exception):
    """There is no such machine to be had now; the text says why."""


class Driver(Protocol):
    """A place that machines come from. It is asked what there is; nothing is kept here."""

    async def machines(self) -> dict[str, Shown]:
        """The machines of this autoscaler, by their names. Raises if the place does not answer."""
        ...

    async def launch(self, machine: str, name: str, kind: Kind) -> str:
        """Have a machine of the kind `name`, and return what it is called there.

        Under one name there is one machine, however often it is asked for. Raises `Refusal`.
        """
        ...

    async def end(self, machine: str, ref: str) -> None:
        """End it, at once or soon. To end one that is not there any more does nothing."""
        ...


class Access(msgspec.Struct, frozen=True):
    """How a machine's agent reaches the server: variables, and the files that some of them name."""

    variables: Mapping[str, str]
    files: tuple[Path, ...]


def access_of(definition: Definition) -> Access:
    """The way to the server that this process has itself, at the address that machines see."""
    known = load().settings
    given = {name: getattr(known, name) for name in ("server", *sorted(OF_A_SERVER))}
    if definition.server:
        given["server"] = definition.server
    present = {name: str(value) for name, value in given.items() if value}
    files = tuple(Path(value) for name, value in present.items() if name in PATHS)
    return Access({variable(name): value for name, value in present.items()}, files)


def agent_words(machine: str, kind: Kind) -> list[str]:
    """The command of a machine's agent, without `evq` itself."""
    words = ["agent", "--queues", ",".join(kind.queues), "--name", machine, "--order", kind.order]
    if kind.slots:
        words += ["--slots", str(kind.slots)]
    if kind.cpus:
        words += ["--cpus", f"{kind.cpus:g}"]
    if kind.memory:
        words += ["--memory", str(kind.memory)]
    for label, value in kind.labels.items():
        words += ["--label", f"{label}={value}"]
    return words


def drivers_for(name: str, kinds: Mapping[str, Kind], access: Access) -> dict[str, Driver]:
    """The drivers of these kinds, for the autoscaler `name`."""
    found: dict[str, Driver] = {}
    for kind in kinds.values():
        if kind.driver not in found:
            found[kind.driver] = _driver(name, kind, access)
    return found


def _driver(name: str, kind: Kind, access: Access) -> Driver:
    # Each brings a library of its own, which only those need who have such machines.
    match kind.driver:
        case "local":
            from .local import LocalDriver

            return LocalDriver(name, access)
        case "docker":
            from .docker import DockerDriver

            return DockerDriver(name, access)
        case "aws":
            from .aws import AwsDriver

            return AwsDriver(name, access, kind)
        case "hook":
            from .hook import HookDriver

            return HookDriver(name, access, kind)


def needed(kind: Kind, word: str, meaning: str) -> str:
    """What `place` says under `word`. Raises `EvqError` if it says nothing."""
    value = kind.place.get(word)
    if not isinstance(value, str) or not value:
        raise EvqError(
            f"the {kind.driver} driver needs place.{word}",
            why=f"it is {meaning}",
            fix=f'{word} = "…" below [kinds.NAME.place]',
        )
    return value


def quiet_environment() -> dict[str, str]:
    """This process's variables without those that belong to its own task."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EVQ_")}
