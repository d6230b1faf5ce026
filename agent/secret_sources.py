"""Where an agent finds the secrets that tasks name: its variables, a file, the keyring.

A secret's value goes into the variables of the task's command and nowhere else.
docs/decisions/0013 says why.
"""

from __future__ import annotations

import asyncio
import os
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Protocol, TypeVar

from ..core.errors import SecretFailed, SettingsError
from ..core.spec import Spec, secret_names
from .attempts.variables import chosen, matches
from .reporting.secret_forms import MIN_LENGTH

_T = TypeVar("_T")

PREFIX = "EVQ_SECRET_"
SERVICE = "evq"
"""Under which service the keyring is asked: keyring set evq NAME."""

KEYRING_SECONDS = 10.0
"""A keyring that is locked may ask its owner, who is not there."""


class Source(Protocol):
    """A place where secrets are. `place` says which, for people."""

    place: str

    def find(self, name: str) -> str | None:
        """The value of the secret `name`, if it is here. Raises `SecretFailed`."""
        ...


class VariableSource:
    """Variables of the agent: EVQ_SECRET_NAME, and those that its admin lists."""

    def __init__(self, environ: Mapping[str, str], patterns: Sequence[str] = ()) -> None:
        self._environ = environ
        self._patterns = patterns
        listed = f", variables like {' '.join(patterns)}" if patterns else ""
        self.place = f"variables {PREFIX}*{listed}"

    def find(self, name: str) -> str | None:
        listed = chosen(self._environ, self._patterns)
        return self._environ.get(PREFIX + name) or listed.get(name)


class FileSource:
    """A TOML file of `NAME = "value"`. It is read again each time, so it may change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def find(self, name: str) -> str | None:
        value = self._read().get(name)
        if value is None or isinstance(value, str):
            return value
        raise SecretFailed(
            f"the secret {name} is not a text", why=f"it stands in {self.path}", fix='NAME = "…"'
        )

    def queues(self, name: str) -> tuple[str, ...]:
        """The queues whose tasks may have the secret, as patterns."""
        table = self._read().get("queues", {})
        allowed = table.get(name, ["*"]) if isinstance(table, dict) else None
        if isinstance(allowed, list) and all(isinstance(one, str) for one in allowed):
            return tuple(allowed)
        raise SecretFailed(
            f"it is not clear which queues may use the secret {name}",
            why=f"[queues] in {self.path} holds something else than lists of names",
            fix=f'{name} = ["train"]',
        )

    def _read(self) -> dict[str, object]:
        try:
            with self.path.open("rb") as file:
                self._check_owner(os.fstat(file.fileno()))
                return tomllib.load(file)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
        except tomllib.TOMLDecodeError as error:
            # A parser's message may quote the line that it does not like.
            why = "it is not TOML" + (f": line {line}" if (line := _line(error)) else "")
        raise SecretFailed(
            f"the secrets file {self.path} cannot be read", why=why, fix='write NAME = "value"'
        )

    def _check_owner(self, found: os.stat_result) -> None:
        if found.st_uid != os.geteuid():
            raise SecretFailed(
                f"the secrets file {self.path} belongs to somebody else",
                why=f"its owner is user {found.st_uid}, the agent runs as {os.geteuid()}",
                fix=f"chown {os.geteuid()} {self.path}",
            )
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecretFailed(
                f"the secrets file {self.path} is open to other users",
                why=f"its mode is {stat.S_IMODE(found.st_mode):o}",
                fix=f"chmod 600 {self.path}",
            )


def _line(error: tomllib.TOMLDecodeError) -> str:
    return str(error).rpartition("at line ")[2].partition(",")[0].strip(")") if error.args else ""


class KeyringSource:
    """The keyring of the user who runs the agent, if the package `keyring` is installed."""

    place = f"keyring, service {SERVICE}"

    def find(self, name: str) -> str | None:
        try:
            import keyring
        except ImportError:
            self.place = "no keyring: the package is not installed"
            return None
        try:
            value = keyring.get_password(SERVICE, name)
        except Exception as error:  # Each backend raises what it likes; none may end an agent.
            self.place = f"keyring, which failed: {type(error).__name__}"
            return None
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class Secrets:
    """The secrets of one attempt. `variables` is what its command is given, `values` the same
    by the secrets' own names, `places` where they were found."""

    variables: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)


NO_SECRETS = Secrets()


class SecretSources:
    """All places in which an agent looks, in their order."""

    def __init__(self, environ: Mapping[str, str], patterns: Sequence[str], file: Path | None):
        self._file = FileSource(file) if file else None
        known: list[Source] = [VariableSource(environ, patterns)]
        known += [self._file] if self._file else []
        self.sources: Sequence[Source] = (*known, KeyringSource())

    def check(self) -> None:
        """Raise `SettingsError` now if the file could not be used later."""
        if self._file:
            try:
                self._file.queues("")
            except SecretFailed as error:
                raise SettingsError(error.what, why=error.why, fix=error.fix) from error

    async def resolve(self, spec: Spec) -> Secrets:
        """The values of the secrets that `spec` names. Raises `SecretFailed`."""
        names = secret_names(spec.secrets)
        looking = _aside(
            lambda: {name: self._find(name, spec.queue) for name in set(names.values())}
        )
        try:
            found = await asyncio.wait_for(looking, KEYRING_SECONDS)
        except TimeoutError:
            raise SecretFailed(
                "the secrets cannot be had",
                why=f"the keyring has not answered within {KEYRING_SECONDS:g} s",
                fix="unlock it, or give the agent a secrets file: evq agent --secrets-file FILE",
            ) from None
        return Secrets(
            variables={variable: found[name][0] for variable, name in names.items()},
            values={name: value for name, (value, _) in found.items()},
            places={name: place for name, (_, place) in found.items()},
        )

    def _find(self, name: str, queue: str) -> tuple[str, str]:
        if self._file and not matches(queue, allowed := self._file.queues(name)):
            raise SecretFailed(
                f"the secret {name} is not for the queue {queue}",
                why=f"{self._file.path} gives it to {', '.join(allowed) or 'none'}",
                fix=f"enqueue the task there, or add {queue} to {name} under [queues]",
            )
        for source in self.sources:
            if value := source.find(name):
                return _fit(name, value), source.place
        raise SecretFailed(
            f"this agent has no secret {name}",
            why="looked in: " + "; ".join(source.place for source in self.sources),
            fix=f"start the agent with {PREFIX}{name}=…, or --secrets-env {name}, "
            "or --secrets-file FILE",
        )


def _aside(work: Callable[[], _T]) -> asyncio.Future[_T]:
    """What `work` gives, done by a thread that may stay for ever without keeping us from ending."""
    promise: Future[_T] = Future()
    promise.set_running_or_notify_cancel()

    def run() -> None:
        try:
            promise.set_result(work())
        except BaseException as error:
            promise.set_exception(error)

    Thread(target=run, name="secrets", daemon=True).start()
    return asyncio.wrap_future(promise)


def _fit(name: str, value: str) -> str:
    if len(value.strip()) < MIN_LENGTH or "\0" in value:
        raise SecretFailed(
            f"the secret {name} cannot be kept out of the log",
            why=f"it has fewer than {MIN_LENGTH} characters, or holds a NUL",
            fix="take a longer one; what is no secret can be sent by --setenv",
        )
    return value
