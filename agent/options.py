"""The command line of an agent's process, which `evq agent` has checked and completed.

Each field of `Config` is an option, of the same name but for `NAMES`.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..core.errors import UsageError
from ..core.fleet.served import GpuCount, read_queues
from ..core.fleet.services import parse_limits
from ..core.ids import check_name
from ..core.trackers import read_trackers
from .config import Config, parse_kinds

NAMES = {"state": "state-dir", "cache": "cache-dir", "labels": "label"}

DERIVED = frozenset({"trusted"})
"""Fields that the agent finds by itself."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _queues(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_name(name, "queue") for name in text.split(",")))


def _pairs(text: str) -> dict[str, str]:
    """What `NAME=VALUE,…` says."""
    return dict(pair.split("=", 1) for pair in _words(text))


def _counts(text: str) -> dict[str, GpuCount]:
    return {queue: count for queue, count in read_queues(text).items() if count}


def _folder(text: str) -> Path:
    return Path(text).absolute()


READERS: Mapping[str, Callable[[str], Any]] = {
    "queues": _queues,
    "state": _folder,
    "cache": _folder,
    "docker_for": _pairs,
    "docker_args": lambda text: tuple(shlex.split(text)),
    "docker_allow": _words,
    "pass_env": _words,
    "secrets_env": _words,
    "cache_kinds": parse_kinds,
    "trackers": read_trackers,
    "labels": _pairs,
    "queue_gpus": _counts,
    "service_limits": parse_limits,
}
"""How the options are read that are neither words nor numbers."""


def parse(argv: Sequence[str] | None) -> Config:
    """The configuration out of the command line. Raises `UsageError`."""
    parser = argparse.ArgumentParser(prog="evq agent", argument_default=argparse.SUPPRESS)
    for field in msgspec.structs.fields(Config):
        name = field.name
        option = f"--{NAMES.get(name, name.replace('_', '-'))}"
        if field.type is bool:
            parser.add_argument(option, dest=name, action="store_true")
        elif name not in DERIVED:
            read = READERS.get(name, str)
            parser.add_argument(option, dest=name, type=read, required=field.required)
    given = vars(parser.parse_args(argv))
    try:
        return msgspec.convert(given, Config, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise UsageError(
            "the agent's options cannot be read", why=str(error), fix="start it by: evq agent"
        ) from error


def _path(kind: type[Any], value: Any) -> Any:
    return kind(value)
