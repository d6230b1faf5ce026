"""Files that a remote keeps in LFS: their contents put in the place of their pointers.

Only git-lfs itself knows the protocol, so it is called where it is installed. Where it fetches
from is decided here: `.lfsconfig` comes with the code and may name any place.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ...core.errors import CodeFailed, UsageError
from ...core.remotes import Address, parse_address
from ..attempts.command import Run
from . import bounds
from .credentials import Credentials
from .explain import explain
from .git import query, try_git

POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024
_CONTENT = re.compile(rb"oid sha256:(([0-9a-f]{2})([0-9a-f]{2})[0-9a-f]{60})$", re.MULTILINE)


async def pointers(top: Path) -> list[str]:
    """The files of the work tree `top` that hold a pointer of LFS instead of their content."""
    if not await _uses_lfs(top):
        return []
    marked = ("ls-files", "-z", "--", ":(attr:filter=lfs)")
    _, listed = await query(top / ".git", "--work-tree", str(top), *marked)
    return [path for path in listed.split("\0") if path and _is_pointer(top / path)]


async def _uses_lfs(top: Path) -> bool:
    """Whether any file of attributes in the tree speaks of LFS; most code does not."""
    listing = ("ls-files", "-z", "--", ".gitattributes", "*/.gitattributes")
    _, listed = await query(top / ".git", *listing)
    files = [top / path for path in listed.split("\0") if path]
    return any(not one.is_symlink() and b"filter=lfs" in one.read_bytes() for one in files)


def _is_pointer(file: Path) -> bool:
    if file.is_symlink() or not file.is_file() or file.stat().st_size > _POINTER_BYTES:
        return False
    with file.open("rb") as opened:
        return opened.read(len(POINTER)) == POINTER


def _options(address: Address, storage: Path) -> tuple[str, ...]:
    """How git finds the server of LFS files and where they are kept, without a configuration."""
    return (
        *("-c", f"remote.origin.url={address.text}"),
        *("-c", f"lfs.url={_endpoint(address)}"),
        *("-c", f"lfs.storage={storage}"),
        # Without these it says that it is not installed. No other filter is known to git here.
        *("-c", "filter.lfs.clean=git-lfs clean -- %f"),
        *("-c", "filter.lfs.smudge=git-lfs smudge -- %f"),
    )


async def fill(
    run: Run, top: Path, commit: str, storage: Path, address: Address, logins: Credentials
) -> int:
    """Put the contents of LFS files of `commit` into `top`, and return how many there are.

    `storage` is where they are kept for the next time. Raises `CodeFailed` when they cannot be
    had, also if git-lfs is not here: a program that reads a pointer for its data fails later, and
    nobody would know why.
    """
    files = await pointers(top)
    if not files:
        return 0
    if shutil.which("git-lfs") is None:
        raise CodeFailed(
            f"{len(files)} files of the code are kept in LFS, and git-lfs is not installed here",
            why=f"such as {files[0]}",
            fix="install git-lfs on the agent's machine, or leave them pointers: --no-lfs",
        )
    access = logins.access(await _server(top, commit, address))
    place = ("--git-dir", str(top / ".git"), "--work-tree", str(top))
    also = (*access.options, *_options(access.address, storage), *place)
    steps: list[tuple[str, ...]] = [("fetch", "origin", commit), ("checkout",)]
    for step in steps if _missing(storage, top, files) else steps[1:]:
        done = await try_git(
            run,
            top,
            *("lfs", *step),
            also=also,
            variables=access.variables,
            file_bytes=bounds.MAX_BYTES,
        )
        if done.exit_code != 0:
            raise explain(done, access.address)
    if left := await pointers(top):
        raise CodeFailed(
            f"{len(left)} files of the code could not be had from LFS",
            why=f"such as {left[0]}; the server {access.address.place} does not have them",
            fix="git lfs push --all origin, or leave them pointers: --no-lfs",
        )
    return len(files)


def _missing(storage: Path, top: Path, files: list[str]) -> bool:
    """Whether the content of any of `files` has not been fetched yet."""
    for file in files:
        found = _CONTENT.search((top / file).read_bytes())
        if found is None:
            return True
        name, first, second = (part.decode() for part in found.groups())
        if not (storage / "objects" / first / second / name).is_file():
            return True
    return False


async def _server(top: Path, commit: str, address: Address) -> Address:
    """The address that LFS is asked at: the one in `.lfsconfig` if it is harmless, else ours."""
    blob = ("config", "--no-includes", "--blob", f"{commit}:.lfsconfig", "--get", "lfs.url")
    status, said = await query(top / ".git", *blob)
    if status != 0 or not said.strip():
        return address
    try:
        return parse_address(said.strip())
    except UsageError as error:
        raise CodeFailed(
            "the code's .lfsconfig names a place that is not asked", why=str(error)
        ) from error


def _endpoint(address: Address) -> str:
    """Where the protocol is spoken: below the repository, unless a server was named for it."""
    if address.scheme not in ("https", "http") or "/info/lfs" in address.text:
        return address.text
    return address.text.removesuffix("/").removesuffix(".git") + ".git/info/lfs"
