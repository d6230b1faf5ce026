"""What a task or an administrator may say about a container, in Docker's own words.

An argument is read here into plain values; nothing is ever passed on as it was written. Those in
`GUARDED` can reach what is outside of the container: an agent takes them from its administrator,
and from a task only if the administrator allowed that one. Nobody chooses the user, the entry
point or the process namespace: by those an agent keeps its promises.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from . import units
from .errors import UsageError

IMAGE = re.compile(r"[a-z0-9][a-z0-9._:/@-]{0,254}", re.IGNORECASE)
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?")
"""A Debian package, perhaps with its architecture and version: `libgl1`, `ffmpeg=7:5.1.6-0`."""

SETUP_BYTES = 64 * 1024

FREE = (
    *("env", "shm-size", "ulimit", "publish", "cpus", "memory", "pids-limit", "hostname"),
    *("add-host", "dns", "tmpfs", "read-only"),
)
"""Arguments that any task may use."""

GUARDED = ("network", "volume", "device", "gpus", "cap-add", "security-opt", "privileged", "ipc")
"""Arguments that reach outside of the container."""

HARMLESS_NETWORKS = ("none", "bridge")
_FLAGS = ("read-only", "privileged")
_SHORT = {"-e": "--env", "-p": "--publish", "-m": "--memory", "-h": "--hostname", "-v": "--volume"}
_PORT = re.compile(
    r"(?:(?:(?P<ip>[\d.]+|\[[0-9a-fA-F:]+\]):)?(?P<host>\d{1,5}):)?(?P<port>\d{1,5})"
    r"(?P<kind>/(?:tcp|udp))?"
)


class Port(msgspec.Struct, frozen=True):
    """A container's port, as `8080/tcp`, and where it is on the machine; 0 is any free one."""

    inside: str
    host: int = 0
    address: str = "127.0.0.1"


class Gpus(msgspec.Struct, frozen=True):
    """The GPUs of a container: `count` of them, -1 for all, or those with these `ids`."""

    count: int = 0
    ids: tuple[str, ...] = ()


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, as values; sizes are bytes, a `ulimit` is name, soft and hard limit."""

    env: dict[str, str] = {}
    shm_size: int | None = None
    ulimit: tuple[tuple[str, int, int], ...] = ()
    publish: tuple[Port, ...] = ()
    cpus: float | None = None
    memory: int | None = None
    pids_limit: int | None = None
    hostname: str | None = None
    add_host: dict[str, str] = {}
    dns: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    read_only: bool = False
    network: str | None = None
    volume: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    gpus: Gpus | None = None
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    privileged: bool = False
    ipc: str | None = None


def read_arguments(words: Iterable[str]) -> Arguments:
    """Read words such as `--shm-size=8g`. Raises `UsageError` for one that is not known."""
    said: dict[str, list[str]] = {}
    for name, value in pairs(words):
        said.setdefault(name, []).append(value)
    values: dict[str, Any] = {n.replace("-", "_"): _read(n, given) for n, given in said.items()}
    return Arguments(**values)


def guarded(words: Iterable[str]) -> tuple[str, ...]:
    """The names of the arguments in `words` that reach outside of the container."""
    found = (
        name
        for name, value in pairs(words)
        if name in GUARDED and not (name == "network" and value in HARMLESS_NETWORKS)
    )
    return tuple(dict.fromkeys(found))


def pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each argument; `--name value` in one word or two, and `--name=value`."""
    queue = [part for word in words for part in _split(word)]
    while queue:
        word = queue.pop(0)
        flag, sign, value = word.partition("=")
        name = _SHORT.get(flag, flag)
        if not name.startswith("--") or name[2:] not in (*FREE, *GUARDED):
            raise UsageError(
                f"a container cannot be given {word}",
                why=f"known are {', '.join(f'--{known}' for known in (*FREE, *GUARDED))}",
                fix="--docker-arg=--shm-size=8g",
            )
        name = name[2:]
        if not sign and name not in _FLAGS:
            if not queue:
                raise UsageError(f"{flag} lacks its value", fix=f"--docker-arg={flag}=VALUE")
            value = queue.pop(0)
        yield name, value


def check_image(name: str) -> str:
    """`name` if it can be an image's, else raises `UsageError`."""
    if not IMAGE.fullmatch(name):
        raise UsageError(
            f"{name!r} is not the name of an image",
            why="it is made of letters, digits and . _ - / : @",
            fix="--docker python:3.12-slim",
        )
    return name


def check_packages(names: Sequence[str]) -> None:
    """Raise `UsageError` for what cannot be the name of a system package."""
    for name in names:
        if not PACKAGE.fullmatch(name):
            raise UsageError(
                f"{name!r} is not the name of a system package",
                why="it is Debian's: small letters, digits and + - .",
                fix="--apt libgl1",
            )


def check_setup(script: str) -> None:
    """Raise `UsageError` for a set-up script that is too long or holds a NUL."""
    if len(script.encode()) > SETUP_BYTES or "\0" in script:
        raise UsageError(
            "the set-up script cannot be sent",
            why=f"it must be text of at most {SETUP_BYTES // 1024} KiB",
            fix="let it run a script of the task's code",
        )


def _split(word: str) -> list[str]:
    try:
        return shlex.split(word)
    except ValueError as error:
        raise UsageError(f"--docker-arg {word} cannot be read", why=str(error)) from error


def _read(name: str, values: list[str]) -> object:
    try:
        return _READERS[name](values)
    except (ValueError, UsageError) as error:
        raise UsageError(
            f"--{name} cannot be {values[-1]!r}",
            why=str(error) or "it is written as for docker run",
            fix=f"docker run --help  # tells of --{name}",
        ) from error


def _ulimit(value: str) -> tuple[str, int, int]:
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    return name, int(soft), int(hard or soft)


def _port(value: str) -> Port:
    found = _PORT.fullmatch(value)
    if found is None:
        raise ValueError("a port is written 8888, 8888:80 or 127.0.0.1:8888:80/tcp")
    inside = found["port"] + (found["kind"] or "/tcp")
    return Port(inside, int(found["host"] or 0), found["ip"] or "127.0.0.1")


def _gpus(value: str) -> Gpus:
    if value == "all":
        return Gpus(-1)
    option, sign, ids = value.partition("=")
    if sign and option == "device" and all(named := ids.split(",")):
        return Gpus(ids=tuple(named))
    if value.isdecimal() and int(value) > 0:
        return Gpus(int(value))
    raise ValueError("GPUs are written all, 2, or device=0,GPU-3a23c669")


def _pair(value: str, sign: str) -> tuple[str, str]:
    name, found, rest = value.partition(sign)
    if not found or not name:
        raise ValueError(f"it is written NAME{sign}VALUE")
    return name, rest


def _last(values: list[str]) -> str:
    return values[-1]


_READERS: dict[str, Callable[[list[str]], object]] = {
    "env": lambda values: dict(_pair(value, "=") for value in values),
    "shm-size": lambda values: units.size(values[-1]),
    "ulimit": lambda values: tuple(map(_ulimit, values)),
    "publish": lambda values: tuple(map(_port, values)),
    "cpus": lambda values: float(values[-1]),
    "memory": lambda values: units.size(values[-1]),
    "pids-limit": lambda values: int(values[-1]),
    "hostname": _last,
    "add-host": lambda values: dict(_pair(value, ":") for value in values),
    "dns": tuple,
    "tmpfs": tuple,
    "read-only": bool,
    "network": _last,
    "volume": tuple,
    "device": tuple,
    "gpus": lambda values: _gpus(values[-1]),
    "cap-add": tuple,
    "security-opt": tuple,
    "privileged": bool,
    "ipc": _last,
}
