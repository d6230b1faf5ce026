"""What an attempt does before its command runs.

Container, set-up script, system packages, code, inputs, environment: each is a phase of its own.
Code and inputs are put in place on the machine itself, so that an image needs no git; everything
else happens in the place where the command will run.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...core.decide import Command, Holder, TellEnvironment
from ...core.errors import EnvironmentFailed
from ...core.events import Lifecycle
from ...core.state import EnvironmentRecord, Task
from .. import system
from ..containers import lodging
from ..containers.lodging import Lodging
from ..environments.locks import hold
from ..gpus.pool import Assignment
from ..means import Means
from ..reporting.channel import Channel
from ..reporting.telemetry import Recorder
from ..secret_sources import Secrets
from ..supervision.forkserver import Supervisor
from . import launch
from .inputs import put_inputs
from .left import Left
from .place import Place

T = TypeVar("T")


class Steps(Protocol):
    """What an attempt offers to those who prepare it."""

    task: Task
    holder: Holder
    assignment: Assignment
    place: Place | None

    def phase(self, name: str) -> AbstractAsyncContextManager[launch.PhaseNotes]:
        """A step of set-up: its begin and its end are events."""
        ...

    def watch(self, supervisor: Supervisor) -> None:
        """From now on a supervisor hears of the lease, and of the attempt's end."""
        ...

    async def until_told(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, unless the attempt is told to end."""
        ...

    async def write(self, command: Command) -> Lifecycle:
        """Carry a command out on the task."""
        ...


@dataclass(frozen=True)
class Ready:
    """Where the command runs: the place, the folder of the code, the environment."""

    place: Place
    tree: Path
    built: launch.Built


class Preparation:
    """Makes one attempt ready."""

    def __init__(
        self, steps: Steps, means: Means, left: Left, channel: Channel, recorder: Recorder
    ) -> None:
        """What is made here is noted in `left`, so that it can be put away."""
        self._steps = steps
        self._means = means
        self._left = left
        self._work = left.work
        self._channel = channel
        self._recorder = recorder
        self._lodging: Lodging | None = None

    async def run(self, here: Place, secrets: Secrets) -> Ready:
        """All steps in their order; `here` is the machine itself, `secrets` are the task's."""
        place = await self._customise(await self._enter_container(here))
        self._left.place = place
        self._left.tree = tree = await self._put_code(here)
        await self._put_inputs(tree)
        return Ready(place, tree, await self._build_environment(tree, place, secrets))

    @property
    def lodging(self) -> Lodging | None:
        """The container, if the task runs in one."""
        return self._lodging

    async def _enter_container(self, here: Place) -> Place:
        wish = lodging.asked(self._steps.task.spec_now, self._means.config)
        if wish is None:
            return here
        async with self._steps.phase("container") as phase:
            self._lodging = lodge = Lodging(
                self._means,
                self._steps.task,
                wish,
                self._work,
                self._channel.path,
                self._recorder,
                self._steps.assignment,
            )
            phase.cached = await self._steps.until_told(lodge.find())
            phase.detail = f"{wish.image} ({lodge.image.digest.rpartition(':')[2][:12]})"
            place = await self._steps.until_told(lodge.enter())
            self._steps.watch(place.supervisor)
        return place

    async def _customise(self, place: Place) -> Place:
        """Run the set-up script and install system packages, unless an image has both."""
        spec, lodge = self._steps.task.spec, self._lodging
        if not spec.setup and not spec.apt:
            return place
        done = lodge is not None and lodge.prepared
        if spec.setup:
            async with self._steps.phase("setup") as phase:
                phase.cached, phase.detail = done, f"{len(spec.setup.splitlines())} lines"
                if not done:
                    await self._run_script(spec.setup, place)
        if spec.apt:
            async with self._steps.phase("packages") as phase:
                phase.cached, phase.detail = done, " ".join(spec.apt)
                if not done:
                    phase.cached = await self._install(spec.apt, place)
        if lodge is None or done:
            return place
        async with self._steps.phase("image") as phase:
            better = await lodge.keep()
            phase.detail = "kept for the next time"
        if better is None:
            return place
        self._steps.watch(better.supervisor)
        return better

    async def _run_script(self, script: str, place: Place) -> None:
        if self._lodging is None:
            system.check_script(self._means.config.allow_setup)
        env = launch.base_variables(self._means, place)
        await system.run_script(script, run=place.execution.setup, cwd=Path("/"), env=env)

    async def _install(self, names: tuple[str, ...], place: Place) -> bool:
        """Install system packages, if one of them is missing; whether they were all there."""
        env = launch.base_variables(self._means, place)
        if await system.are_installed(names, run=place.execution.setup, env=env):
            return True
        if self._lodging is None:
            system.check_packages(self._means.config.allow_apt)
        kept = place.apt or self._means.config.cache / "apt"
        kept.mkdir(parents=True, exist_ok=True)
        # apt itself gives up where another one is at work.
        with await self._steps.until_told(hold(kept / "evq.lock")):
            await system.install_packages(names, run=place.execution.setup, env=env, kept=place.apt)
        return False

    async def _put_code(self, here: Place) -> Path:
        task, run = self._steps.task, here.execution.setup
        bare = task.spec.code is None and task.spec.repo is None
        tree = self._work / "code" if self._lodging else self._work
        if bare and self._lodging:
            tree.mkdir()
            return tree
        if bare:
            await launch.clear_scratch(self._channel.scratch)
            return self._channel.scratch
        async with self._steps.phase("code") as phase:
            await launch.put(self._means, task, tree, run, phase)
        return tree

    async def _put_inputs(self, tree: Path) -> None:
        spec = self._steps.task.spec
        if spec.inputs:
            folder = launch.folder(spec, tree)
            async with self._steps.phase("inputs") as phase:
                fetching = put_inputs(self._means, spec.inputs, folder, phase)
                await self._steps.until_told(fetching)

    async def _build_environment(self, tree: Path, place: Place, secrets: Secrets) -> launch.Built:
        spec = self._steps.task.spec
        recipe = launch.recipe(spec, tree)
        if recipe is None:
            if place.image:
                await self._tell(EnvironmentRecord("none", None, None, (), place.image))
            return launch.Built()
        async with self._steps.phase("environment") as phase:
            if self._lodging:
                place = await self._lodging.for_environments(place, recipe)
            try:
                built = await launch.build(self._means, spec, recipe, tree, place, secrets)
            except EnvironmentFailed:
                if self._lodging:
                    await self._lodging.check_python(place)
                raise
            self._left.built = built
            phase.cached, phase.detail = built.cached, built.detail
        if built.record:
            await self._tell(built.record)
        return built

    async def _tell(self, record: EnvironmentRecord) -> None:
        await self._steps.write(TellEnvironment(self._steps.holder, record))

    def memory_evidence(self) -> str | None:
        """What says that the kernel killed a process of the container for want of memory; empty
        if nothing does, None without a container."""
        return self._lodging.memory_evidence() if self._lodging else None

    async def leave(self) -> None:
        """End the container, if there is one, and let go of the environment."""
        if self._lodging:
            await self._lodging.close()
        self._left.built.release()
