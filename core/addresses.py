"""Addresses of package indexes: what may stand in them, and what is shown of them.

An address may name a secret as `${NAME}`. It is filled in at the last moment, for the command
that needs it; events, keys, logs and errors have the name, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .errors import UsageError

_LOGIN = re.compile(r"(?<=://)(?P<user>[^/@:\s]*)(?::(?P<password>[^/\s]*))?@")
_NAMED = re.compile(r"\$\{(\w+)\}")
_TOKEN_LENGTH = 20
"""A user's name of so many characters, without a password, is a token."""


def without_login(text: str) -> str:
    """`text` without who logs in at the addresses in it: equal for equal content."""
    return _LOGIN.sub("", text)


def masked(text: str) -> str:
    """`text` for people: of every login in an address only names of secrets are left."""

    def mask(found: re.Match[str]) -> str:
        return found[0] if _names_only(found) else "****@"

    return _LOGIN.sub(mask, text)


def names_in(text: str) -> tuple[str, ...]:
    """The secrets that `text` refers to as `${NAME}`."""
    return tuple(dict.fromkeys(_NAMED.findall(text)))


def filled(text: str, secrets: Mapping[str, str]) -> str:
    """`text` with each `${NAME}` replaced; raises `KeyError` with the first unknown name."""
    return _NAMED.sub(lambda found: secrets[found[1]], text)


def check_address(address: str, option: str) -> None:
    """Raise `UsageError` if `address` holds a password: the log would keep it for ever."""
    found = _LOGIN.search(address)
    if found is None or _names_only(found):
        return
    raise UsageError(
        f"{option} {masked(address)} holds a password",
        why="what is asked for is stored in the log, for everybody who may read it",
        fix=f"{option} '{_LOGIN.sub('${NAME}@', address)}' --secret NAME",
    )


def _names_only(login: re.Match[str]) -> bool:
    user, password = login["user"], login["password"]
    if password is not None:
        return bool(_NAMED.fullmatch(password))
    return len(user) < _TOKEN_LENGTH or bool(_NAMED.fullmatch(user))


_SERVER = re.compile(
    r"(?:(?P<scheme>nats|tls|ws|wss)://)?(?P<login>[^@/\s]+@)?"
    r"(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?/?\Z"
)


def server_address(written: str) -> str:
    """The address of a NATS server, whole. Raises ValueError."""
    found = _SERVER.match(written)
    if found is None or not 0 < int(found["port"] or 4222) < 65536:
        raise ValueError
    return f"{found['scheme'] or 'nats'}://{found['login'] or ''}{found['host']}" + (
        f":{found['port']}" if found["port"] else ":4222" if not found["scheme"] else ""
    )
