"""The code of a task: taken from the disk, sent to the server if the server lacks it."""

from __future__ import annotations

import asyncio
import os
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..errors import UsageError
from ..spec import Module, Notebook, Script, Spec
from .snapshot import Snapshot, take

if TYPE_CHECKING:
    from .client import Client


@contextmanager
def with_code(
    spec: Spec, cwd: Path, *, include: Sequence[str] = (), code: bool = True
) -> Iterator[tuple[Spec, Snapshot | None]]:
    """`spec` with the code around `cwd`, and the snapshot as long as the block lasts.

    `include` are files to be sent although they are ignored or look secret; without `code` none
    is sent. A command outside of any git repository carries no code unless a file is named.
    Raises `UsageError` or `SnapshotRefused`.
    """
    files = [word for word in spec.requirements if (cwd / word).is_file()]
    if spec.repo:
        _check_remote(include, code)
        yield spec, None
        return
    files += _constraints(spec, cwd)
    if not code:
        yield _check_without(spec, files), None
        return
    entry = Path(spec.entry.path) if isinstance(spec.entry, Script | Notebook) else None
    named = [*include, *files]
    if isinstance(spec.entry, Module):
        named += _module_here(spec.entry.name, cwd)
    with take(cwd, entry, include=named) as snapshot:
        if snapshot.kind == "files" and not entry and not named:
            yield spec, None
            return
        yield _place(spec, snapshot, files, cwd), snapshot


def _constraints(spec: Spec, cwd: Path) -> list[str]:
    for word in spec.constraints:
        if not (cwd / word).is_file():
            raise UsageError(
                f"there is no file {word} here",
                why="it was named to limit the versions that are installed",
                fix="--constraint constraints.txt",
            )
    return list(spec.constraints)


def _check_without(spec: Spec, files: list[str]) -> Spec:
    if isinstance(spec.entry, Script | Notebook) or files:
        path = spec.entry.path if isinstance(spec.entry, Script | Notebook) else files[0]
        raise UsageError(
            f"{path} would be missing without the code",
            why="--no-code sends nothing, and an agent has only what is sent",
            fix="leave --no-code out, or run a command that is there: evq enqueue -- COMMAND",
        )
    return spec


def _check_remote(include: Sequence[str], code: bool) -> None:
    if include or not code:
        raise UsageError(
            f"{'--include' if include else '--no-code'} and --repo do not go together",
            why="the code is the remote's, and nothing of this disk is sent",
            fix="leave out one of the two",
        )


def _module_here(module: str, cwd: Path) -> list[str]:
    """The file or folder of `cwd` that Python would take `module` from, if there is one."""
    top = module.partition(".")[0]
    return [name for name in (top, f"{top}.py") if (cwd / name).exists()][:1]


def _place(spec: Spec, snapshot: Snapshot, files: list[str], cwd: Path) -> Spec:
    """`spec` with its code, and its paths as they are in the task's tree."""
    top, folder = snapshot.work.top, snapshot.code.folder
    below = {name: Path(os.path.relpath(cwd.resolve() / name, top)).as_posix() for name in files}
    requirements = tuple(below.get(word, word) for word in spec.requirements)
    constraints = tuple(below.get(word, word) for word in spec.constraints)
    placed = replace(spec, code=snapshot.code, requirements=requirements, constraints=constraints)
    if isinstance(spec.entry, Script | Notebook) and snapshot.entry:
        path = posixpath.relpath(snapshot.entry, folder)
        return replace(placed, entry=replace(spec.entry, path=path))
    return placed


async def send(client: Client, snapshot: Snapshot) -> int:
    """Store what the server lacks of the code, and return how many bytes that were."""
    sent = 0
    with tempfile.TemporaryDirectory(prefix="evq-send-") as folder:
        for blob in snapshot.blobs:
            if await client.enqueuer.code.has(blob.name):
                continue
            path = Path(folder) / blob.name
            sent += await asyncio.to_thread(snapshot.write_bundle, blob, path)
            await client.bus.objects.put(blob.name, path)
            client.enqueuer.code.note(blob.name)
    return sent
