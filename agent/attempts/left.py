"""What an attempt leaves on the disk: removed, or kept for whoever wants to know why it failed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ...core.decide import Finish, GiveBack
from ...core.events import Launch
from ...core.spec import secret_names
from ...core.state import Task
from ..means import Means
from ..secret_sources import NO_SECRETS
from . import endings, launch
from .kept import Manifest
from .place import Place

UNHEARD = frozenset({"EVQ_SOCKET", "EVQ_AGENT_FOLDER"})
"""Variables of a running attempt only: its socket, and the mark by which its agent knows it."""


@dataclass
class Left:
    """The attempt's own folder `work`, and how far it came: `tree` is where its code is, which
    is a part of `work` in a container."""

    work: Path
    place: Place | None = None
    tree: Path | None = None
    built: launch.Built = field(default_factory=launch.Built)
    launched: Launch | None = None

    async def put_away(
        self, means: Means, task: Task, attempt: int, end: Finish | GiveBack | None
    ) -> None:
        """Keep the folder if the task failed by its own doing and wants that, else remove it."""
        seconds = means.config.keep if task.spec.keep is None else task.spec.keep
        if self.tree and seconds > 0 and endings.is_worth_a_look(end):
            manifest = self._manifest(means, task, attempt)
            await means.kept.keep(self.tree, self.work, manifest, seconds)
        elif self.work.exists():
            await launch.remove(self.work)

    def _manifest(self, means: Means, task: Task, attempt: int) -> Manifest:
        nowhere, environment = Path(os.devnull), self.built.environment
        assert self.place and self.tree
        inside = self.tree.is_relative_to(self.work)
        given = launch.variables(means, task, attempt, self.built, nowhere, self.place, NO_SECRETS)
        return Manifest(
            task=task.id,
            attempt=attempt,
            agent=means.config.name,
            argv=self.launched.argv if self.launched else (),
            folder=str(launch.folder(task.spec, self.tree if inside else self.work)),
            variables={name: value for name, value in given.items() if name not in UNHEARD},
            left_out=tuple(secret_names(task.spec.secrets)),
            environment=str(environment.folder) if environment and environment.folder else None,
            key=environment.key if environment else None,
            container=self.place.again,
        )
