"""Who may open the dashboard, and what each of them may do.

In the folder of a store there is one token for whoever can read that folder: the user who started
evq, who may do everything. For others an admin makes named users, each with a token and a role. A
token is as long as a key, so a plain hash of it is all that is kept.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..errors import Conflict, NotFound, SettingsError
from ..ids import check_name
from .author import host_name, user_name

FOLDER = "ui"


class Role(enum.Enum):
    """What somebody may do. Each may do what the ones before it may."""

    VIEWER = "viewer"
    """Look at everything, and ask in SQL."""
    OPERATOR = "operator"
    """Work with tasks, pause queues, drain agents."""
    ADMIN = "admin"
    """Everything."""

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


class Viewer(msgspec.Struct, frozen=True):
    """A person, or a program, at the dashboard."""

    name: str
    role: Role


class _Known(msgspec.Struct, frozen=True):
    name: str
    role: Role
    hash: str


class Viewers:
    """The users of a store's dashboard, read from its folder whenever the file has changed."""

    def __init__(self, store: Path) -> None:
        self._folder = store / FOLDER
        self._file = self._folder / "users.json"
        self._read: tuple[_Known, ...] = ()
        self._stamp: tuple[int, int] | None = None

    def local_token(self) -> str:
        """The token of whoever can read the store's folder; it is made at the first call."""
        return self._kept("token")

    def secret(self) -> str:
        """What cookies are signed with; it is made at the first call."""
        return self._kept("secret")

    def remember(self, url: str, port: int) -> None:
        """Leave word in the store's folder where the dashboard is."""
        with self._changing():
            _replace(self._folder / "address", url.encode())
            _replace(self._folder / "port", str(port).encode())

    def address(self) -> str:
        """Where the dashboard was seen last. Raises `OSError` if it was never."""
        return (self._folder / "address").read_text("ascii")

    def last_port(self) -> int | None:
        """The port at which it listened then."""
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / "port").read_text("ascii"))
        return None

    @property
    def local(self) -> Viewer:
        """Who comes with the local token."""
        return Viewer(f"{user_name()}@{host_name()}", Role.ADMIN)

    def by_fingerprint(self, given: str) -> Viewer | None:
        """Who has the token with this fingerprint, as far as it is still one."""
        if hmac.compare_digest(given, fingerprint(self.local_token())):
            return self.local
        return next(
            (
                Viewer(known.name, known.role)
                for known in self._all()
                if hmac.compare_digest(given, known.hash)
            ),
            None,
        )

    def named(self) -> list[Viewer]:
        """The users that were made, by name."""
        return [Viewer(known.name, known.role) for known in self._all()]

    def add(self, name: str, role: Role) -> str:
        """Make a user and return its token, which is kept nowhere. Raises `Conflict`."""
        check_name(name, "user")
        with self._changing():
            if any(known.name == name for known in self._all()):
                raise Conflict(f"there is a user {name} already", fix=f"evq ui user remove {name}")
            token = secrets.token_urlsafe(32)
            made = _Known(name, role, fingerprint(token))
            self._write(sorted((*self._all(), made), key=lambda known: known.name))
        return token

    def remove(self, name: str) -> None:
        """Let a user's token be worth nothing from now on. Raises `NotFound`."""
        with self._changing():
            left = [known for known in self._all() if known.name != name]
            if len(left) == len(self._all()):
                raise NotFound(f"there is no user {name}", fix="evq ui user list")
            self._write(left)

    def _all(self) -> tuple[_Known, ...]:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            self._read, self._stamp = (), None
            return ()
        stamp = status.st_mtime_ns, status.st_ino
        if stamp != self._stamp:
            try:
                self._read = msgspec.json.decode(self._file.read_bytes(), type=tuple[_Known, ...])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise SettingsError(
                    f"{self._file} cannot be read", why=str(error), fix="move it away"
                ) from error
            self._stamp = stamp
        return self._read

    def _write(self, users: list[_Known]) -> None:
        text = msgspec.json.format(msgspec.json.encode(users), indent=2)
        _replace(self._file, text)
        self._stamp = None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        import fcntl

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _kept(self, name: str) -> str:
        file = self._folder / name
        with contextlib.suppress(FileNotFoundError):
            return file.read_text("ascii")
        with self._changing():
            with contextlib.suppress(FileNotFoundError):
                return file.read_text("ascii")
            made = secrets.token_urlsafe(32)
            _replace(file, made.encode())
            return made


def fingerprint(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _replace(file: Path, data: bytes) -> None:
    """Write the file for its owner only, whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        output.write(data)
        output.flush()
        os.fsync(output.fileno())
    partial.replace(file)
