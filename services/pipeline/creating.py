"""A run as it begins: the code that its steps run, and what is written down of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from ...core.sdk.author import host_name, user_name
from ...core.sdk.snapshot import Snapshot, take
from .definition import Definition, Step
from .facts import Created
from .graph import graph


@contextmanager
def with_code(
    definition: Definition, folder: Path, queue: str, project: str, fresh: bool
) -> Iterator[tuple[Created, Snapshot]]:
    """What is to be written down of a run with the code around `folder`, and that code, to be sent
    while the block lasts. Raises `SnapshotRefused`."""
    files = sorted({word for step in definition.steps.values() for word in _files(step, folder)})
    with take(folder, None, include=files, include_folder=True) as snapshot:
        top = snapshot.work.top
        yield (
            Created(
                definition=placed(definition, folder.resolve(), top),
                code=snapshot.code,
                tree=snapshot.tree,
                fresh=fresh,
                user=user_name(),
                host=host_name(),
                project=project or definition.name,
                queue=queue,
                edges=graph(definition).parents,
            ),
            snapshot,
        )


def placed(definition: Definition, folder: Path, top: Path) -> Definition:
    """The pipeline with its files of requirements named as they lie in the task's tree. Those of a
    step with code of a remote lie there."""

    def place(word: str) -> str:
        if not (folder / word).is_file():
            return word
        return Path(os.path.relpath(folder / word, top)).as_posix()

    steps = {
        name: step
        if step.repo
        else replace(step, requirements=tuple(map(place, step.requirements)))
        for name, step in definition.steps.items()
    }
    return replace(definition, steps=steps)


def _files(step: Step, folder: Path) -> Iterator[str]:
    """The files that a step needs by name; the script itself may be ignored by git, too."""
    if step.repo:
        return
    yield from (word for word in step.requirements if (folder / word).is_file())
    named = step.script or (step.function or "").partition(":")[0]
    if named and (folder / named).is_file():
        yield named
