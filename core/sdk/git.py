"""Git by its command line, for code that travels: a repository made by hand, commits by name.

Nothing here looks at a user's repository; `worktree` does that, and `agent/workdir` the rest.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from pathlib import Path

QUIET = (
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)
"""Options before the verb: run no hook, start no daemon, write nothing beside what was asked."""

REF = "refs/evq/"
"""A bundle holds one reference: this and the commit's own id."""

BASE = "base-"
"""What the name of a bundle begins with that holds what was committed."""

# Constant, so that the same content is the same commit wherever and whenever it is taken.
_SIGNATURE = "evq <evq@localhost> 0 +0000"

_OBJECT_ID = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")


def is_object_id(text: str) -> bool:
    """Whether `text` is the whole id of a git object (SHA-1 or SHA-256)."""
    return bool(_OBJECT_ID.match(text))


def shown(path: str) -> str:
    """`path` as it can be written in a message: what is not UTF-8 in a name becomes `?`."""
    return path.encode(errors="replace").decode()


def make_repository(folder: Path, *, head: str = "", sha256: bool = False) -> None:
    """Write the least that git takes for a repository, sooner than `git init` would.

    `head` is the commit at which HEAD stands; without one there is no commit yet.
    """
    (folder / "objects" / "pack").mkdir(parents=True)
    (folder / REF).mkdir(parents=True)
    (folder / "HEAD").write_text(f"{head or 'ref: refs/heads/evq'}\n")
    (folder / "config").write_text(_config(sha256))


def is_sha256(object_id: str) -> bool:
    """Whether `object_id` comes from a repository that names its objects by SHA-256."""
    return len(object_id) == 64


def _config(sha256: bool) -> str:
    core = "[core]\n\trepositoryformatversion = 1\n\tbare = false\n"
    return core + ("[extensions]\n\tobjectFormat = sha256\n" if sha256 else "")


def write_commit(repository: Path, tree: str, parent: str | None) -> str:
    """Store the one commit that stands for `tree` after `parent`, name it, and return its id."""
    body = commit_text(tree, parent)
    stored = b"commit %d\0" % len(body) + body
    commit = hashlib.new("sha256" if is_sha256(tree) else "sha1", stored).hexdigest()
    path = repository / "objects" / commit[:2] / commit[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(stored))
    (repository / REF / commit).write_text(commit + "\n")
    return commit


def commit_text(tree: str, parent: str | None) -> bytes:
    """The commit for `tree`: no author, no time, no message of its own, so only content counts."""
    parents = f"parent {parent}\n" if parent else ""
    text = f"tree {tree}\n{parents}author {_SIGNATURE}\ncommitter {_SIGNATURE}\n\nevq\n"
    return text.encode()
