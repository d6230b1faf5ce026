"""How the agent logs in to the hosts of repositories.

A token goes to git in its environment and from there, by a helper of ours, only to the host that
it was written for: it stands on no command line, in no address and in no file of ours.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from ...core.errors import CodeFailed
from ...core.remotes import Address, by_other_protocol

TOKEN = "EVQ_GIT_TOKEN_"
"""Before a host in upper case, `_` for what is no letter or digit: `EVQ_GIT_TOKEN_GITHUB_COM`."""

Protocol = Literal["auto", "keep", "https", "ssh"]

_NOBODY = "x-access-token"
"""The user for a token alone: the large hosts look at the token only."""

_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" '
    '"$EVQ_GIT_USER" "$EVQ_GIT_PASSWORD"; }; f'
)
_SSH_OPTIONS = "-o BatchMode=yes -o ConnectTimeout=30"


class Login(msgspec.Struct, frozen=True):
    """Who to be on a host, and the secret that proves it."""

    user: str
    password: str


class Access(msgspec.Struct, frozen=True):
    """How git reaches one address: options before its verb, and variables."""

    address: Address
    options: tuple[str, ...]
    variables: dict[str, str]


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent may use: a file in the format of `git credential-store`, tokens by host
    from its environment, and the command that stands for `ssh`.

    `protocol` says how a host is reached when it can be by https and by ssh: `keep` as the
    address says; `https` or `ssh` always so; `auto` by https if there is a login for the host.
    """

    file: Path | None = None
    protocol: Protocol = "auto"
    ssh: str = "ssh"
    environment: Mapping[str, str] = {}

    def passwords(self) -> dict[str, str]:
        """All passwords that are known now, by a name for each: no log may show them."""
        tokens = {name: token.rpartition(":")[2] for name, token in self.environment.items()}
        return tokens | {f"git login of {place}": one.password for place, one in self._listed()}

    def access(self, address: Address) -> Access:
        """How to reach `address`. Raises `CodeFailed` if the file of logins cannot be read."""
        address = self._translated(address)
        options = ["-c", f"protocol.{address.scheme}.allow=always"]
        options += ["-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60"]
        if address.scheme == "ssh":
            command = f"{self.ssh} {_SSH_OPTIONS}"
            return Access(
                address, tuple(options), {"GIT_SSH_COMMAND": command, "GIT_SSH_VARIANT": "ssh"}
            )
        login = self._login(address)
        if login is None:
            return Access(address, tuple(options), {})
        # For this host only: one that it redirects to must not get the token.
        key = f"credential.{address.scheme}://{address.place}.helper"
        options += ["-c", f"{key}={_HELPER}"]
        secret = {"EVQ_GIT_USER": login.user, "EVQ_GIT_PASSWORD": login.password}
        return Access(address, tuple(options), secret)

    def _translated(self, address: Address) -> Address:
        match self.protocol:
            case "keep":
                return address
            case "https" | "ssh":
                return by_other_protocol(address, self.protocol)
            case "auto":
                other = by_other_protocol(address, "https")
                known = address.scheme == "ssh" and self._login(other) is not None
                return other if known else address

    def _login(self, address: Address) -> Login | None:
        if address.scheme not in ("https", "http"):
            return None
        name = TOKEN + re.sub(r"[^A-Z0-9]", "_", address.place.upper())
        if token := self.environment.get(name):
            user, colon, password = token.partition(":")
            return Login(user, password) if colon else Login(_NOBODY, token)
        return next((login for place, login in self._listed() if place == _place(address)), None)

    def _listed(self) -> list[tuple[str, Login]]:
        """The logins in the file, by scheme and host."""
        if self.file is None:
            return []
        try:
            lines = self.file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CodeFailed(
                "the agent's file of git logins cannot be read",
                why=str(error),
                fix="correct the setting git_credentials of the agent",
            ) from error
        found = []
        for line in lines:
            login, at, host = urlsplit(line.strip()).netloc.rpartition("@")
            user, _, password = login.partition(":")
            if at:
                place = f"{urlsplit(line).scheme}://{host}"
                found.append((place, Login(unquote(user), unquote(password))))
        return found


def _place(address: Address) -> str:
    return f"{address.scheme}://{address.place}"


def credentials(file: Path | None, protocol: Protocol, ssh: str) -> Credentials:
    """What this agent may use; without a `file`, the one that git itself keeps logins in."""
    kept = Path.home() / ".git-credentials"
    file = file or (kept if kept.is_file() else None)
    tokens = {name: value for name, value in os.environ.items() if name.startswith(TOKEN)}
    return Credentials(file=file, protocol=protocol, ssh=ssh, environment=tokens)
