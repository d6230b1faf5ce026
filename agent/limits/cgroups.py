"""What an attempt may use at most: one cgroup per attempt, where the agent may make cgroups.

    <the agent's own cgroup>/evq-INSTANCE/TASK-ATTEMPT

Memory, processors and processes are three hierarchies in version 1 and one in version 2 of the
kernel's cgroups. `docs/decisions/0014` tells why nothing else than cgroups will do.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from ...core.spec import Limits
from ...core.units import size_text
from ..supervision import cgroup
from ..supervision.refusal import MachineFailed

log = logging.getLogger(__name__)

Controller = Literal["memory", "cpu", "pids"]
CONTROLLERS: tuple[Controller, ...] = ("memory", "cpu", "pids")

PERIOD = 100_000
"""Microseconds over which the kernel counts processor time."""

LEAST_QUOTA = 1000

REMOVE_TRIES = 100
REMOVE_PAUSE = 0.01
"""The kernel lets go of a cgroup a moment after its last process has been reaped."""


class Place(msgspec.Struct, frozen=True):
    """Where the cgroups of one controller go, and by which version of the interface."""

    folder: str
    version: Literal[1, 2]


class Cgroup:
    """The cgroup of one attempt: a folder in each hierarchy that one of its limits needs."""

    def __init__(self, name: str, places: Mapping[Controller, Place], limits: Limits) -> None:
        self.name = name
        self._places = places
        self._limits = limits
        self.folders = tuple(dict.fromkeys(place.folder for place in places.values()))

    def make(self) -> None:
        """Make the folders and write the limits into them. Raises `OSError`."""
        for folder in self.folders:
            os.makedirs(folder, exist_ok=True)
        for controller, place in self._places.items():
            for name, value in _words(controller, place.version, self._limits):
                _write(place.folder, name, value)

    @property
    def memory_kills(self) -> int:
        """How many of its processes the kernel has ended because the limit was reached."""
        if (place := self._places.get("memory")) is None:
            return 0
        name = "memory.oom_control" if place.version == 1 else "memory.events"
        return counter(f"{place.folder}/{name}", "oom_kill")

    def memory_told(self) -> str:
        """What its files say about its memory, for people."""
        place, limit = self._places["memory"], self._limits.memory
        name = "memory.max_usage_in_bytes" if place.version == 1 else "memory.peak"
        told = [f"the attempt's limit is {size_text(limit or 0)}"]
        with suppress(OSError, ValueError):  # memory.peak came with Linux 5.19
            told.append(f"its peak {size_text(int(_read(place.folder, name)))}")
        return ", ".join([*told, f"oom_kill {self.memory_kills} in its cgroup"])

    async def remove(self) -> None:
        """Remove it; whatever should still be in it is killed."""
        for folder in self.folders:
            for _ in range(REMOVE_TRIES):
                if cgroup.remove(folder):
                    break
                cgroup.kill(folder)
                await asyncio.sleep(REMOVE_PAUSE)
            else:
                log.warning("the cgroup %s could not be removed", folder)


class Cgroups:
    """The cgroups of one agent."""

    def __init__(self, state: Path, instance: str, proc: Path = Path("/proc/self")) -> None:
        """`state` is the agent's own folder; `proc` says where it is in the hierarchies."""
        self._name = f"evq-{instance}"
        self._notes = state / "cgroups"
        self._found = dict(_own_places(proc))
        self.lacking = {name: why for name in CONTROLLERS if (why := self._why_not(name))}
        """By controller, why it cannot be used."""

    @property
    def bases(self) -> tuple[str, ...]:
        """The folders below which this agent makes cgroups."""
        usable = (place.folder for name, place in self._found.items() if name not in self.lacking)
        return tuple(dict.fromkeys(f"{folder}/{self._name}" for folder in usable))

    def _why_not(self, controller: Controller) -> str:
        place = self._found.get(controller)
        if place is None:
            return f"the kernel offers no cgroup controller {controller}"
        if not os.access(place.folder, os.W_OK):
            return f"this user may not make cgroups in {place.folder}"
        return _not_alone(place.folder, controller) if place.version == 2 else ""

    def settle(self) -> None:
        """Make this process's cgroup one below which there can be others; see `_not_alone`."""
        for controller, place in self._found.items():
            if place.version == 1 or controller in self.lacking:
                continue
            try:
                if controller not in _read(place.folder, "cgroup.subtree_control").split():
                    _move_down(place.folder)
                    _hand_down(place.folder, [controller])
            except OSError as error:
                self.lacking[controller] = f"{place.folder} does not hand it down: {error.strerror}"

    def sweep(self) -> None:
        """Remove what an earlier agent in this folder left, and note what this one will make.

        An agent may be started again in another cgroup: hence the note.
        """
        with suppress(FileNotFoundError):
            for folder in self._notes.read_text().splitlines():
                if cgroup.kill(folder):
                    log.warning("ended processes that an earlier agent left in %s", folder)
                if not cgroup.remove(folder):
                    log.warning("the cgroup %s could not be removed", folder)
        self._notes.write_text("".join(f"{folder}\n" for folder in self.bases))

    def close(self) -> None:
        """Leave nothing behind, as the agent ends in order."""
        if all([cgroup.remove(folder) for folder in self.bases]):
            self._notes.unlink(missing_ok=True)

    def attempt(self, name: str, limits: Limits) -> Cgroup:
        """The cgroup of an attempt, made, with every limit in force.

        Raises `MachineFailed` if one of them cannot be.
        """
        for controller in _needed(limits):
            if why := self.lacking.get(controller):
                raise cannot_limit(controller, why)
        places = {
            controller: Place(f"{place.folder}/{self._name}/{name}", place.version)
            for controller, place in self._found.items()
            if controller in _needed(limits)
        }
        made = Cgroup(name, places, limits)
        try:
            for place in places.values():
                if place.version == 2:
                    _hand_down(os.path.dirname(place.folder), _needed(limits))
            made.make()
        except OSError as error:
            for folder in made.folders:
                cgroup.remove(folder)
            raise cannot_limit("cgroup", str(error)) from error
        return made

    def possible(self, limits: Limits) -> tuple[Limits, list[str]]:
        """The part of `limits` that can be put into force here, and what is said of the rest."""
        told = [f"no limit on {_WORDS[name]}: {self.lacking[name]}" for name in _needed(limits)
                if name in self.lacking]  # fmt: skip
        return (
            Limits(
                memory=None if "memory" in self.lacking else limits.memory,
                cpus=None if "cpu" in self.lacking else limits.cpus,
                processes=None if "pids" in self.lacking else limits.processes,
            ),
            told,
        )


_WORDS: Mapping[Controller, str] = {"memory": "memory", "cpu": "processors", "pids": "processes"}


def cannot_limit(what: str, why: str) -> MachineFailed:
    """The error for limits that this machine cannot put into force."""
    return MachineFailed(
        "the task's limits cannot be put into force here",
        why=f"{what}: {why}",
        fix="run the agent as a service whose cgroup is its own (systemd: Delegate=yes), or "
        'allow it to run such tasks without limits: limits = "try"',
    )


def _needed(limits: Limits) -> list[Controller]:
    values = {"memory": limits.memory, "cpu": limits.cpus, "pids": limits.processes}
    return [name for name in CONTROLLERS if values[name] is not None]


def _words(
    controller: Controller, version: Literal[1, 2], limits: Limits
) -> Iterator[tuple[str, str]]:
    """The files of a controller, and what is to stand in them."""
    match controller, version:
        case "memory", 1:
            yield "memory.limit_in_bytes", str(limits.memory)
            # Memory and swap together: what is over the limit must not go into the swap.
            yield "?memory.memsw.limit_in_bytes", str(limits.memory)
        case "memory", 2:
            yield "memory.max", str(limits.memory)
            yield "?memory.swap.max", "0"
        case "cpu", 1:
            yield "cpu.cfs_period_us", str(PERIOD)
            yield "cpu.cfs_quota_us", str(_quota(limits))
        case "cpu", 2:
            yield "cpu.max", f"{_quota(limits)} {PERIOD}"
        case "pids", _:
            yield "pids.max", str(limits.processes)


def _quota(limits: Limits) -> int:
    return max(LEAST_QUOTA, round((limits.cpus or 0) * PERIOD))


def _write(folder: str, name: str, value: str) -> None:
    """Write a file of a cgroup; one with a `?` before its name not every kernel has."""
    path = os.path.join(folder, name.removeprefix("?"))
    if name.startswith("?") and not os.path.exists(path):
        return
    with open(path, "w") as file:
        file.write(value)


def _read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name)) as file:
        return file.read().strip()


def counter(path: str, name: str) -> int:
    """The number behind `name` in a file of names and numbers; 0 if there is none."""
    try:
        with open(path) as file:
            found = (line.split() for line in file)
            return next((int(words[1]) for words in found if words[0] == name), 0)
    except OSError:
        return 0


# --- where we are -----------------------------------------------------------------------------


def _own_places(proc: Path) -> Iterator[tuple[Controller, Place]]:
    """Our own cgroup in the hierarchy of each controller that is mounted here."""
    own: dict[str, str] = {}
    for line in _lines(proc / "cgroup"):
        _, names, path = line.split(":", 2)
        own |= dict.fromkeys(names.split(","), path)
    for line in _lines(proc / "mountinfo"):
        words = line.split()
        kind, _, options = words[words.index("-") + 1 :][:3]
        root, mounted = words[3], words[4]
        if kind == "cgroup":
            for name in CONTROLLERS:
                if name in options.split(",") and name in own:
                    yield name, Place(_below(mounted, root, own[name]), 1)
        elif kind == "cgroup2" and "" in own:
            folder = _below(mounted, root, own[""])
            offered = _read(folder, "cgroup.controllers").split() if os.path.isdir(folder) else ()
            for name in CONTROLLERS:
                if name in offered:
                    yield name, Place(folder, 2)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _below(mounted: str, root: str, own: str) -> str:
    """Where the cgroup `own` is, if `root` of the hierarchy is mounted at `mounted`."""
    inside = own.removeprefix(root) if root != "/" else own
    return os.path.normpath(f"{mounted}/{inside}")


# --- version 2 --------------------------------------------------------------------------------


def _not_alone(folder: str, controller: Controller) -> str:
    """Why cgroups below ours cannot have the controller; empty if they have it, or will.

    Version 2 hands nothing down from a cgroup that has processes.
    """
    others = set(_read(folder, cgroup.MEMBERS).split()) - {str(os.getpid())}
    if others and controller not in _read(folder, "cgroup.subtree_control").split():
        return f"other processes than the agent live in {folder}"
    return ""


def _move_down(folder: str) -> None:
    """Go into a cgroup below ours, which then has no processes and can hand controllers down."""
    leaf = f"{folder}/evq-agent-{os.getpid()}"
    os.makedirs(leaf, exist_ok=True)
    cgroup.enter([leaf])


def _hand_down(folder: str, controllers: list[Controller]) -> None:
    os.makedirs(folder, exist_ok=True)
    given = _read(folder, "cgroup.subtree_control").split()
    missing = [name for name in controllers if name not in given]
    if missing:
        _write(folder, "cgroup.subtree_control", " ".join(f"+{name}" for name in missing))
