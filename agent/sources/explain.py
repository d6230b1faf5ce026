"""Reading what git said when a remote did not give what was wanted, as an error to act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ...core.errors import CodeFailed
from ...core.remotes import Address
from ..attempts.command import Completed
from .credentials import TOKEN

_HOST_KEY = re.compile(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED")
_DENIED = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|terminal prompts disabled"
    r"|Permission denied|HTTP (?:Basic: Access denied|401|403)|returned error: (?:401|403)"
    r"|access denied",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"[Rr]epository .*not found|not found: did you run|does not appear to be a git repository"
    r"|returned error: 404|access denied or repository not exported|[Nn]ot [Ff]ound"
)
_UNREACHABLE = re.compile(
    r"Could not resolve|Failed to connect|Connection (?:refused|timed out|reset)|No route to host"
    r"|unable to connect|Couldn't connect|timed out|Operation too slow|Name or service not known"
)
_UNTRUSTED = re.compile(r"SSL|certificate|TLS", re.IGNORECASE)
_TOO_BIG = re.compile(
    # Git says no more when the limit of a file's size ends the process that unpacks.
    r"\A\s*fatal: fetch-pack: invalid index-pack output\s*\Z"
    r"|died of signal 25|File too large|File size limit"
)
_FULL = re.compile(r"No space left on device")
_NO_SUCH_COMMIT = re.compile(r"not our ref|no such remote ref|couldn't find remote ref")


def explain(done: Completed, address: Address) -> CodeFailed:
    """The error for a git command on `address` that failed."""
    said = [line for line in done.output.strip().splitlines() if line.strip()]
    why = "; ".join(said[-3:]) or f"git ended with {done.exit_code}"
    text, host = done.output, address.place
    if _FULL.search(text):
        return CodeFailed("the disk is full", why=why, fix="make room where the cache of evq is")
    if _TOO_BIG.search(text):
        return CodeFailed(
            f"{address.text} is too big to be fetched",
            why=why,
            fix="keep data out of the repository",
        )
    if _HOST_KEY.search(text):
        return CodeFailed(
            f"the agent does not know the host key of {host}",
            why=why,
            fix=f"on the agent's machine, as its user: ssh-keyscan {address.host} >> "
            "~/.ssh/known_hosts, after a look at the key",
        )
    if _UNREACHABLE.search(text):
        return CodeFailed(f"{host} is out of reach", why=why, fix=f"git ls-remote {address.text}")
    # A server says "access denied" also for what is not there, and "not found" for what is secret.
    if _MISSING.search(text):
        return CodeFailed(
            f"there is no repository {address.text}, or the agent may not see it",
            why=why,
            fix=f"check the address; for a private one, {_way_in(address)}",
        )
    if _DENIED.search(text):
        return CodeFailed(
            f"{host} refuses the agent access to {address.text}", why=why, fix=_way_in(address)
        )
    if _NO_SUCH_COMMIT.search(text):
        return CodeFailed(
            f"{address.text} does not have the commit",
            why=why,
            fix="push it, or name another with --commit",
        )
    if _UNTRUSTED.search(text):
        return CodeFailed(
            f"the certificate of {host} is not trusted",
            why=why,
            fix="give the agent the authority's certificate: GIT_SSL_CAINFO=FILE",
        )
    return CodeFailed(
        f"{address.text} cannot be fetched", why=why, fix=f"git ls-remote {address.text}"
    )


def _way_in(address: Address) -> str:
    if address.scheme == "ssh":
        return "give the agent's user an ssh key that the host knows, or set git_protocol to https"
    name = TOKEN + re.sub(r"[^A-Z0-9]", "_", address.place.upper())
    return f"give the agent a token: {name}=…, or the setting git_credentials"


def unknown_revision(wanted: str, what: str, known: Iterable[str], address: Address) -> CodeFailed:
    """The error for a branch or a tag that the remote does not have."""
    names = list(known)
    near = difflib.get_close_matches(wanted, names, n=1)
    some = ", ".join(near or names[:5])
    return CodeFailed(
        f"{address.text} has no {what} {wanted!r}"
        + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"it has {some}" if some else "it has none",
        fix=f"git ls-remote {address.text}",
    )
