"""Addresses of git repositories: which are accepted, how they stand to each other.

An address comes from a user or from a `.gitmodules` that anybody may have written, and git gives
some of them a meaning of its own: an option, a program to run, a folder of this machine. So an
address is accepted if it has one of the known forms, not refused if it has a known bad one.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from .errors import UsageError

Scheme = Literal["https", "http", "ssh", "git"]
SCHEMES: tuple[Scheme, ...] = ("https", "http", "ssh", "git")

_HOST = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)"
_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<login>[^@/]*)@)?" + _HOST + r"(?::(?P<port>\d{1,5}))?"
    r"(?P<path>/[^?#]*)\Z"
)
_SCP = re.compile(r"(?:(?P<login>\w[\w.-]*)@)?" + _HOST + r":(?P<path>[^:-][^:]*)\Z", re.ASCII)
_USER = re.compile(r"\w[\w.-]*\Z", re.ASCII)
_NOT_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f\\\"'`$;|&<>*]")
_NOT_IN_REVISIONS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|[/.]\Z|\.lock\Z")


class Repo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Code that the agent fetches from a remote.

    `commit` is an id, a whole one or the beginning of one, or a tag; without it the newest commit
    of `branch` runs, or of the remote's default branch. `lfs` says that files kept in LFS are
    fetched too, else their pointers stay.
    """

    url: str
    branch: str | None = None
    commit: str | None = None
    lfs: bool = True


class Address(msgspec.Struct, frozen=True):
    """Where a repository is. `text` is what git is given, `path` has no slash in front."""

    text: str
    scheme: Scheme
    login: str
    host: str
    port: str
    path: str

    @property
    def place(self) -> str:
        """The host, with its port if one is named: what a credential belongs to."""
        return f"{self.host}:{self.port}" if self.port else self.host


def parse_address(text: str) -> Address:
    """The address `text`. Raises `UsageError` unless it has a form that can do no harm."""
    if _NOT_IN_ADDRESSES.search(text):
        raise _refused(text, "it has characters that no address needs")
    if "://" in text:
        return _parse_url(text)
    found = _SCP.match(text)
    if found is None:
        raise _refused(text, "it is neither a URL nor of the form git@host:path")
    path = found["path"].lstrip("/")
    return _checked(Address(text, "ssh", found["login"] or "", found["host"], "", path))


def _parse_url(text: str) -> Address:
    found = _URL.match(text)
    if found is None:
        raise _refused(text, "it is not a URL of the form scheme://host/path")
    scheme = next((known for known in SCHEMES if known == found["scheme"]), None)
    if scheme is None:
        raise _refused(text, f"{found['scheme']}:// is not fetched, only {', '.join(SCHEMES)}")
    login, path = found["login"] or "", found["path"].lstrip("/")
    if login and (scheme != "ssh" or not _USER.match(login)):
        raise UsageError(
            f"the address of a repository on {found['host']} has a login in it",
            why="it would be stored with the task, where everybody can read it",
            fix="leave it out, and give it to the agent: see `git_credentials` in docs/settings.md",
        )
    return _checked(Address(text, scheme, login, found["host"], found["port"] or "", path))


def _checked(address: Address) -> Address:
    parts = address.path.split("/")
    if not address.path or ".." in parts or parts[0].startswith("-"):
        raise _refused(address.text, "its path leads elsewhere")
    return address


def _refused(text: str, why: str) -> UsageError:
    return UsageError(
        f"{without_login(text)!r} is not an address of a repository that an agent fetches",
        why=why,
        fix="--repo https://host/path, or --repo git@host:path",
    )


def without_login(text: str) -> str:
    """`text` without what may be a password in it."""
    return re.sub(r"//[^@/]*@", "//…@", text)


def beside(parent: Address, text: str) -> Address:
    """The address that `text` means in the `.gitmodules` of `parent`: it may be relative."""
    if not text.startswith(("./", "../")):
        return parse_address(text)
    parts = parent.path.rstrip("/").split("/")
    for step in text.split("/"):
        if step == "..":
            if not parts:
                raise _refused(text, f"it leads out of {parent.host}")
            parts.pop()
        elif step not in ("", "."):
            parts.append(step)
    head = parent.text[: len(parent.text) - len(parent.path)]
    return parse_address(head + "/".join(parts))


def by_other_protocol(address: Address, scheme: Literal["https", "ssh"]) -> Address:
    """The same repository by `https` or `ssh`, as the large hosts have it; a port is kept out."""
    if address.scheme == scheme or address.scheme not in ("https", "ssh"):
        return address
    login = "git@" if scheme == "ssh" else ""
    return parse_address(f"{scheme}://{login}{address.host}/{address.path}")


def check_revision(text: str, what: str) -> None:
    """Raise `UsageError` unless `text` can be the name of a branch, a tag or a commit."""
    if not text or _NOT_IN_REVISIONS.search(text):
        raise UsageError(
            f"{text!r} cannot be a {what}",
            why="git has rules for names: no spaces, no leading '-', none of ~^:?*[\\",
            fix=f"name the {what} as git shows it: git ls-remote URL",
        )


def check_repo(repo: Repo) -> Address:
    """The address of `repo`, if an agent can act on it; else raises `UsageError`."""
    address = parse_address(repo.url)
    if repo.branch is not None and repo.commit is not None:
        raise UsageError(
            "a branch and a commit are named",
            why="a commit is the same on every branch",
            fix=f"--commit {repo.commit}",
        )
    if repo.branch is not None:
        check_revision(repo.branch, "branch")
    if repo.commit is not None:
        check_revision(repo.commit, "commit")
    return address
