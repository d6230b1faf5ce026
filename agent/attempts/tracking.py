"""What an attempt says to the trackers it knows, beside its command: MLflow, TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ...core.state import Task
from ...core.trackers import TRACKERS, read_trackers
from ..means import Means
from ..reporting.telemetry import Recorder
from ..trackers.door import Door
from ..trackers.tensorboard.curves import Curves, Source
from ..trackers.ticket import Ticket
from ..trackers.variables import mlflow_variables, tracks_elsewhere
from .place import Place
from .preparation import Ready

FOLDERS = "EVQ_LOGDIR"
"""A task's variable: where its event files are, if not in its own folder; with : between."""

CHOICE = "EVQ_TRACKERS"
"""A task's variable: which of the trackers that its agent hears it wants to be heard."""


class Tracking:
    """The trackers of one attempt."""

    def __init__(self, means: Means, task: Task, slot: str, recorder: Recorder) -> None:
        """`slot` is the name of the slot's socket."""
        assert task.live is not None
        self._means = means
        self._ticket = Ticket(slot, task.live.claim, task.id, task.live.number)
        self._bare = task.spec.code is None and task.spec.repo is None
        self._recorder = recorder
        self._chosen: frozenset[str] = frozenset()
        self._curves: Curves | None = None
        self._own_door: Door | None = None

    async def variables(self, given: Mapping[str, str], place: Place) -> dict[str, str]:
        """What a command finds besides what it is `given`."""
        self._chosen = self._means.config.trackers & self._choice(given.get(CHOICE, "all"))
        door = self._means.door
        if door is None or "mlflow" not in self._chosen or tracks_elsewhere(given):
            return {}
        if place.variables is not None:
            listener = await place.supervisor.listen()
            if listener is None:
                return {}
            self._own_door = door = door.another(listener)
        return mlflow_variables(given, door, self._ticket)

    def begin(self, ready: Ready, folder: Path, variables: Mapping[str, str], since: int) -> None:
        """The command runs in `folder`, since a time of `finding.file_time`."""
        if "tensorboard" not in self._chosen:
            return
        named = [folder / path for path in variables.get(FOLDERS, "").split(":") if path]
        if self._bare:
            # Nothing was in the folder before, so that what has the very same time is the task's.
            since -= 1
        own, within = self._real(ready.tree), None
        if ready.place.variables is not None:
            # What lies elsewhere in a container is not ours to see, also if links lead there later.
            named = [path for path in named if self._is_inside(path, own)]
            within = own
        sources = [Source(path, since, within, named=True) for path in _outermost(named)]
        sources = sources or [Source(ready.tree, since, own)]
        self._curves = Curves(sources, self._recorder.heard, self._recorder.say)

    def _real(self, tree: Path) -> Path:
        """The real path of the attempt's folder; the task may put a link in its place."""
        state = self._means.config.state
        return _resolved(state) / tree.relative_to(state)

    def _is_inside(self, path: Path, own: Path) -> bool:
        inside = path.resolve().is_relative_to(own)
        if not inside:
            self._recorder.say(f"{FOLDERS}: {path} leads out of the task's own folder")
        return inside

    def _choice(self, text: str) -> frozenset[str]:
        try:
            return read_trackers(text)
        except ValueError as error:
            self._recorder.say(f"{CHOICE}={error}")
            return frozenset(TRACKERS)

    async def finish(self) -> None:
        """Hear the last of it: the command's last process is dead."""
        if self._curves:
            await self._curves.finish()

    async def leave(self) -> None:
        """The attempt is over."""
        if self._own_door:
            await self._own_door.close()


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def _outermost(folders: list[Path]) -> list[Path]:
    """Those that are in no other one, so that no file is read twice."""
    whole = {folder.resolve() for folder in folders}
    return [one for one in whole if not whole.intersection(one.parents)]
