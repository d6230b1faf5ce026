"""Which files must not travel with a task: those that look secret, those that are too big.

Only files that git does not track are looked at: what is committed is no secret any more, and
its size was accepted when it was committed.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISREG

from ..errors import SnapshotRefused
from .git import shown

MIB = 1024 * 1024

_HARMLESS = ("*.example", "*.template", "*.sample", "*.dist", "*.defaults", "*.pub")
_SECRET_NAMES = {
    ".env": "a file of environment variables",
    ".env.*": "a file of environment variables",
    "*.env": "a file of environment variables",
    "*.pem": "a private key or certificate",
    "*.key": "a private key",
    "*.ppk": "a private key",
    "*.p12": "a key store",
    "*.pfx": "a key store",
    "*.jks": "a key store",
    "*.keystore": "a key store",
    "*.kdbx": "a password store",
    "id_rsa*": "an SSH key",
    "id_dsa*": "an SSH key",
    "id_ecdsa*": "an SSH key",
    "id_ed25519*": "an SSH key",
    "credentials*": "credentials",
    ".git-credentials": "credentials",
    "secrets.*": "secrets",
    ".netrc": "passwords",
    "_netrc": "passwords",
    ".pgpass": "passwords",
    ".htpasswd": "passwords",
    ".pypirc": "a registry's password",
    ".dockercfg": "a registry's password",
    "kubeconfig*": "a cluster's credentials",
}
_SECRET_TEXT = {
    ".npmrc": (re.compile(rb"_(authToken|auth|password)\s*="), "a registry's token"),
    "*.json": (re.compile(rb'"private_key"\s*:'), "a service account's key"),
    "config.json": (re.compile(rb'"auths"\s*:\s*\{\s*"'), "a registry's password"),
}
# A key file has 1 to 4 KiB; a bigger JSON file is data, and reading it would only take time.
_KEY_FILE_BYTES = 16 * 1024


def secret_name(path: str) -> str | None:
    """What the file at `path` looks like by its name, when that is something secret."""
    name = path.rsplit("/", 1)[-1].lower()
    if _first_match(name, _HARMLESS):
        return None
    pattern = _first_match(name, _SECRET_NAMES)
    return _SECRET_NAMES[pattern] if pattern else None


def secret_text(path: str, text: bytes) -> str | None:
    """What the beginning of the file at `path` shows, when that is something secret."""
    name = path.rsplit("/", 1)[-1].lower()
    for pattern, (sign, what) in _SECRET_TEXT.items():
        if fnmatchcase(name, pattern) and sign.search(text):
            return what
    return None


def refuse_unfit(
    top: Path, untracked: Iterable[str], *, start: str, max_file: int, max_total: int
) -> None:
    """Raise `SnapshotRefused` for untracked files that look secret or are too big.

    Paths are relative to `top`; sizes are in bytes. `start` is the folder below `top` in which
    the user stands: the fix names files as they are seen from there.
    """
    sizes = {path: _file_size(top / path) for path in untracked}
    unfit = {path: why for path in sizes if (why := _unfit(top, path, sizes[path], max_file))}
    if unfit:
        path, *others = unfit
        more = f"; not fit either: {', '.join(map(shown, others[:9]))}" if others else ""
        raise SnapshotRefused(
            f"{shown(path)} must not be sent with the task",
            why=unfit[path] + more + (f" and {len(others) - 9} more" if len(others) > 9 else ""),
            fix=_fix(path, start),
        )
    if (total := sum(sizes.values())) > max_total:
        path = max(sizes, key=lambda path: sizes[path])
        raise SnapshotRefused(
            "the untracked files are too big to be sent with the task",
            why=f"they have {total / MIB:.1f} MiB together, the limit is {max_total / MIB:g}; "
            f"the biggest is {shown(path)} with {sizes[path] / MIB:.1f} MiB",
            fix=f"add {_ignore_pattern(path)} to .gitignore",
        )


def _unfit(top: Path, path: str, size: int, max_file: int) -> str | None:
    if what := secret_name(path) or _secret_inside(top / path, path, size):
        return f"it looks like {what}, and git does not track it"
    if size > max_file:
        return f"it has {size / MIB:.1f} MiB, and an untracked file may have {max_file / MIB:g}"
    return None


def _first_match(name: str, patterns: Iterable[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)


def _file_size(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0  # it went away since git saw it: then it is not sent either
    return found.st_size if S_ISREG(found.st_mode) else 0


def _secret_inside(file: Path, path: str, size: int) -> str | None:
    name = path.rsplit("/", 1)[-1].lower()
    if not 0 < size <= _KEY_FILE_BYTES or not _first_match(name, _SECRET_TEXT):
        return None
    try:
        return secret_text(path, file.read_bytes())
    except OSError:
        return None  # git will not be able to read it either, and says so


def _fix(path: str, start: str) -> str:
    here = shlex.quote(shown(os.path.relpath(path, start)))
    return f"add {_ignore_pattern(path)} to .gitignore, or send it on purpose: --include {here}"


def _ignore_pattern(path: str) -> str:
    return "/" + re.sub(r"([\\*?\[ ])", r"\\\1", shown(path))
