"""What an attempt says to the trackers it knows, beside its command: MLflow, TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..means import Means
from ..reporting.telemetry import Recorder
from ..trackers.door import Door
from ..trackers.tensorboard.curves import Curves, Source
from ..trackers.ticket import Ticket
from ..trackers.variables import mlflow_variables
from .place import Place

FOLDERS = "EVQ_LOGDIR"
"""A task's variable: folders with event files outside of its own, with : between."""

SLACK = 0.05
"""Seconds by which the kernel's time of files is behind the clock."""


class Tracking:
    """The trackers of one attempt."""

    def __init__(self, means: Means, ticket: Ticket, recorder: Recorder) -> None:
        self._means = means
        self._ticket = ticket
        self._recorder = recorder
        self._curves: Curves | None = None
        self._own_door: Door | None = None

    async def variables(self, given: Mapping[str, str], place: Place) -> dict[str, str]:
        """What a command finds besides what it is `given`."""
        if self._means.door is None:
            return {}
        return mlflow_variables(given, self._means.door, self._ticket)

    def begin(self, tree: Path, folder: Path, variables: Mapping[str, str], since: float) -> None:
        """The command runs in `folder`, a part of `tree`, `since` some time after 1970."""
        if "tensorboard" not in self._means.config.trackers:
            return
        since -= SLACK
        named = [folder / path for path in variables.get(FOLDERS, "").split(":") if path]
        sources = [Source(path, since, named=True) for path in named]
        if not any(tree.is_relative_to(path) for path in named):
            sources.append(Source(tree, since))
        self._curves = Curves(sources, self._recorder.heard, self._recorder.say)

    async def finish(self) -> None:
        """Hear the last of it: the command's last process is dead."""
        if self._curves:
            await self._curves.finish()

    async def leave(self) -> None:
        """The attempt is over."""
        if self._own_door:
            await self._own_door.close()
