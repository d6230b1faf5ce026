"""What a task leaves for others: files and folders by a name, their content by its digest.

The log says who saved what; the content lies in a *depot*, once however often it is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .errors import NotFound, UsageError

if TYPE_CHECKING:
    from .state import Task

NATS = "nats"
"""The depot in the server's own object store."""

S3 = "s3://"

LONGEST_NAME = 200
LONGEST_PART = 150
MOST_NAMES = 1000
"""How many artifacts one attempt may save: each of them stands in its task's state."""

FORMS = f"{NATS}, the path of a folder that all machines share, or {S3}BUCKET/PREFIX"


class ArtifactSaved(
    msgspec.Struct,
    frozen=True,
    tag_field="kind",
    tag="artifact",
    omit_defaults=True,
    kw_only=True,
):
    """The attempt saved a file or a folder. Of two with one name the later counts.

    `digest` is the SHA-256 of the content, `size` its bytes, `depot` where it lies. A folder's
    content is a tar archive.
    """

    attempt: int
    name: str
    digest: str
    size: int
    folder: bool = False
    depot: str = NATS


class Artifact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One that was saved; `at` is when, by its agent's clock."""

    name: str
    digest: str
    size: int
    at: int
    folder: bool = False
    depot: str = NATS


def check_artifact_name(name: str) -> str:
    """Return `name` if it can be a path below any folder, else raise `UsageError`."""
    parts = name.split("/")
    if (
        len(name) > LONGEST_NAME
        or not name.isprintable()
        or set(name) & set("\\:")
        or any(part in ("", ".", "..") or len(part.encode()) > LONGEST_PART for part in parts)
    ):
        raise UsageError(
            f"{name[:LONGEST_NAME]!r} cannot be the name of an artifact",
            why=f"it is a relative path of at most {LONGEST_NAME} characters, with / between its "
            "parts, and has no part . or .., no \\ and no colon",
            fix="name it otherwise, such as model.pt or checkpoints/last.pt",
        )
    return name


def read_depot(text: str) -> str:
    """The name of a depot as it stands in the log. Raises ValueError."""
    bucket, _, prefix = text.removeprefix(S3).partition("/")
    if text == NATS:
        return text
    if text.startswith(S3) and bucket:
        return f"{S3}{bucket}/{prefix.strip('/')}".rstrip("/")
    if text.startswith("/") and text.strip("/"):
        return text.rstrip("/")
    raise ValueError(f"{text!r} is no place for artifacts: it wants {FORMS}")


def artifacts_of(task: Task, attempt: int | None = None) -> dict[str, Artifact]:
    """By name, what counts of all that a task, or one attempt of it, has saved: the last."""
    chosen = [one for one in task.attempts if attempt in (None, one.number)]
    return {saved.name: saved for one in chosen for saved in one.saved}


def find_artifact(task: Task, name: str, attempt: int | None = None) -> Artifact:
    """The artifact of a task that counts, or the one of an attempt. Raises `NotFound`."""
    found = artifacts_of(task, attempt)
    if name in found:
        return found[name]
    where = f"attempt {attempt} of task {task.id}" if attempt else f"task {task.id}"
    names = ", ".join(sorted(found)[:10])
    raise NotFound(
        f"{where} has no artifact {name}",
        why=f"it has {names}" if names else f"it is {task.name_of_state}, and has saved none",
        fix=f"evq get {task.id} --list",
    )
