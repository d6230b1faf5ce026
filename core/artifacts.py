"""What a task leaves for others: files and folders by a name, their content by its digest.

The log says who saved what; the content lies in a *depot*, once however often it is saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .cleaning.cleaned import removal_of, removal_text
from .errors import NotFound, UsageError
from .ids import is_task_id

if TYPE_CHECKING:
    from .commands import SaveArtifact
    from .state import Task

NATS = "nats"
"""The depot in the server's own object store."""

S3 = "s3://"

LONGEST_NAME = 200
LONGEST_PART = 150
MOST_NAMES = 1000
"""How many artifacts one attempt may save: each of them stands in its task's state."""

MOST_INPUTS = 100

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


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """An artifact that a task finds in its folder, at `path` or under its own name. Without an
    `attempt` it is the one that counts when it is fetched."""

    task: str
    name: str
    path: str = ""
    attempt: int | None = None


def check_inputs(inputs: tuple[Input, ...]) -> None:
    """Raise `UsageError` unless each can be fetched, to a place of its own."""
    if len(inputs) > MOST_INPUTS:
        raise UsageError(
            f"a task cannot have {len(inputs)} inputs",
            why=f"there are at most {MOST_INPUTS}",
            fix="save a folder: it is one artifact",
        )
    places: set[str] = set()
    for one in inputs:
        place = check_artifact_name(one.path or check_artifact_name(one.name))
        if not is_task_id(one.task):
            raise UsageError(
                f"{one.task!r} is no task that has an input", why="it wants a whole id"
            )
        if place in places:
            raise UsageError(
                f"two inputs are to be at {place}", fix="--input TASK:NAME:PATH gives it another"
            )
        places.add(place)


def read_input(word: str) -> tuple[str, str, str]:
    """The task, the name and the path in `TASK:NAME[:PATH]`. Raises `UsageError`."""
    selector, _, rest = word.partition(":")
    name, _, path = rest.partition(":")
    if not selector or not name:
        raise UsageError(
            f"--input {word} names no artifact of a task",
            why="it wants a task, a colon and the artifact's name, and may have a path behind it",
            fix=f"--input {selector or '@'}:model.pt",
        )
    check_artifact_name(name)
    return selector, name, check_artifact_name(path) if path else ""


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


def saved_event(attempt: int, wanted: SaveArtifact) -> ArtifactSaved:
    """What an attempt is told to have saved."""
    return ArtifactSaved(
        attempt=attempt,
        name=wanted.name,
        digest=wanted.digest,
        size=wanted.size,
        folder=wanted.folder,
        depot=wanted.depot,
    )


def artifacts_of(task: Task, attempt: int | None = None) -> dict[str, Artifact]:
    """By name, what counts of all that a task, or one attempt of it, has saved: the last. What was
    removed since is left out."""
    return {
        saved.name: saved
        for one in task.attempts
        if attempt in (None, one.number) and not removal_of(task, "artifacts", one.number)
        for saved in one.saved
    }


def find_artifact(task: Task, name: str, attempt: int | None = None) -> Artifact:
    """The artifact of a task that counts, or the one of an attempt. Raises `NotFound`."""
    found = artifacts_of(task, attempt)
    if name in found:
        return found[name]
    where = f"attempt {attempt} of task {task.id}" if attempt else f"task {task.id}"
    if removal := removal_of(task, "artifacts", attempt):
        raise NotFound(
            f"{where} has no artifact {name} any more",
            why=removal_text(removal),
            fix=f"evq retry {task.id} makes it again",
        )
    names = ", ".join(sorted(found)[:10])
    raise NotFound(
        f"{where} has no artifact {name}",
        why=f"it has {names}" if names else f"it is {task.name_of_state}, and has saved none",
        fix=f"evq get {task.id} --list",
    )


def saved_once(task: Task, name: str, attempt: int | None = None) -> Artifact | None:
    """The artifact of this name that was removed, if one was: its content may still be there, for
    a task that waited for it then."""
    chosen = [one for one in task.attempts if attempt in (None, one.number)]
    found = {saved.name: saved for one in chosen for saved in one.saved}
    return found.get(name)
