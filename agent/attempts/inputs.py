"""Artifacts of other tasks that stand in the work folder before the command starts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ...core.artifacts import Artifact, Input, find_artifact, saved_once
from ...core.cleaning.cleaned import removal_of
from ...core.errors import ArtifactFailed, NotFound
from ...core.handle import find
from ...core.ports import BusAway
from ...core.sdk.artifacts import download, open_depot
from ...core.state import Task
from ...core.units import size_text
from ..caches.artifacts import forget, nearest
from ..means import Means
from .launch import PhaseNotes


async def put_inputs(
    means: Means, inputs: tuple[Input, ...], folder: Path, notes: PhaseNotes
) -> None:
    """Fetch each of them to its path below `folder`, and note what was done.

    Raises `ArtifactFailed`.
    """
    notes.cached, size = True, 0
    for one in inputs:
        artifact = await _found(means, one)
        size += artifact.size
        notes.cached &= await _put(means, artifact, folder, one.path or one.name)
    notes.detail = f"{', '.join(one.name for one in inputs)} ({size_text(size)})"


async def _found(means: Means, one: Input) -> Artifact:
    while True:
        try:
            task = await find(means.bus.log, one.task)
            return await _spared(means, task, one) or find_artifact(task, one.name, one.attempt)
        except BusAway as away:
            await means.bus.wait(away)
        except NotFound as error:
            fix = f"evq enqueue --after {one.task} --input {one.task}:{one.name} …"
            raise ArtifactFailed(error.what, why=error.why, fix=fix) from error


async def _spared(means: Means, task: Task, one: Input) -> Artifact | None:
    """One that was removed while this task waited: its content is kept for those who do."""
    saved = saved_once(task, one.name, one.attempt)
    if not saved or not removal_of(task, "artifacts", one.attempt):
        return None
    there = await open_depot(means.bus, saved.depot).size(saved.digest)
    return saved if there is not None else None


async def _put(means: Means, artifact: Artifact, folder: Path, path: str) -> bool:
    """Put it in place; whether it was in the cache."""
    config = means.config
    target = folder / path
    await asyncio.to_thread(_make_room, target, folder)
    wait = means.bus.wait
    near, cached = await nearest(means.bus, artifact, config.cache, config.cache_bytes, wait)
    try:
        await download(means.bus, near, target, wait)
    except ArtifactFailed:
        if near is not artifact:
            forget(config.cache, artifact)
        raise
    return cached


def _make_room(target: Path, folder: Path) -> None:
    """Make the folders above `target`.

    The code may hold links: through them nothing is written outside of the work folder.
    """
    own = os.path.realpath(folder)
    if not Path(os.path.realpath(target.parent)).is_relative_to(own):
        raise ArtifactFailed(
            f"the input {target.relative_to(folder)} leads out of the task's folder",
            why="there is a link on its way",
            fix="--input TASK:NAME:PATH with another path",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
