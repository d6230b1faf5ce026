"""An attempt's container: from the image that is asked for to a place where commands run.

What a set-up script and system packages make of an image is kept as an image of its own, whose
name is made of all three: the next attempt that asks for the same begins there.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uv

from ...core.container import Arguments, guarded, read_arguments
from ...core.errors import ContainerFailed
from ...core.spec import Container as Asked
from ...core.spec import Limits, Spec
from ...core.state import Task
from ..attempts.execution import Execution
from ..attempts.place import Place
from ..caches.artifacts import FOLDER as ARTIFACTS
from ..config import Config
from ..environments.base import Recipe
from ..environments.locks import Hold, hold
from ..gpus.pool import ANY, Assignment
from ..means import Means
from ..reporting.telemetry import Recorder
from ..supervision.refusal import MachineFailed
from . import engine as engines
from .container import Container
from .engine import Engine, EngineAway, Image, Wanted
from .image import Content, make_image
from .interpreter import FOLDER as INTERPRETERS
from .interpreter import shown_interpreter
from .libraries import c_library, check_python_runs, check_uv_runs, is_older, own_c_library
from .progress import Progress
from .runtime import AUTHORITIES, Mount, runtime, same
from .variables import DEFAULT_PATH, image_variables

T = TypeVar("T")

ROOT = "0:0"
RESTART_SECONDS = 60.0
"""How long an engine that has served this agent may be away before an attempt gives up."""

RESTART_PAUSE = 0.5

_libraries: dict[str, str] = {}
"""The C library of each image that was asked for it."""

HIDDEN = ("git", INTERPRETERS, ARTIFACTS)
"""What of the cache no task sees: other tasks' code and artifacts, and what our supervisors run."""

USED = "containers-used"
"""A file in the state folder of an agent that has started a container, to be swept one day."""


def asked(spec: Spec, config: Config) -> Asked | None:
    """The container for a task: its own wish, or what the administrator set for its queue."""
    if spec.container:
        return spec.container
    image = config.docker_for.get(spec.queue, config.docker)
    return Asked(image) if image else None


def arguments(wish: Asked, config: Config) -> Arguments:
    """What the task and the administrator say, the latter last. Raises `ContainerFailed`."""
    refused = [name for name in guarded(wish.args) if name not in config.docker_allow]
    if refused:
        words = ", ".join(f"--{name}" for name in refused)
        raise ContainerFailed(
            f"this agent gives no container {words}",
            why="it reaches outside of the container, and the administrator has not allowed it",
            fix=f"evq agent --docker-allow {','.join(refused)}  # if every task may do that",
        )
    return read_arguments((*wish.args, *config.docker_args))


def limited(said: Arguments, limits: Limits | None) -> Arguments:
    """`said` with the limits of a task, whichever are tighter."""
    if limits is None:
        return said
    pairs = {
        "memory": (said.memory, limits.memory),
        "cpus": (said.cpus, limits.cpus),
        "pids_limit": (said.pids_limit, limits.processes),
    }
    tighter = {name: min(filter(None, pair), default=None) for name, pair in pairs.items()}
    return msgspec.structs.replace(said, **tighter)


class Lodging:
    """The container of one attempt. `find`, `enter`, perhaps `keep`, and `close` in any case."""

    def __init__(
        self,
        means: Means,
        task: Task,
        wish: Asked,
        work: Path,
        socket: Path,
        recorder: Recorder,
        assignment: Assignment = ANY,
    ) -> None:
        """`work` is the attempt's folder, `socket` where the task says metrics."""
        assert task.live is not None
        self._means = means
        self._task = task
        self._arguments = limited(arguments(wish, means.config), means.config.limits_of(task.spec))
        self._arguments = means.pool.arguments(self._arguments, assignment)
        self._name = wish.image
        self._work = work
        self._socket = socket
        self._recorder = recorder
        self._labels = {
            engines.AGENT: str(means.config.state),
            engines.TASK: task.id,
            engines.ATTEMPT: str(task.live.number),
            engines.INSTANCE: means.instance,
        }
        self._container: Container | None = None
        self._unsure = False
        """Whether there may be a container that we know nothing of."""
        self._preparing: Hold | None = None
        self._using = Hold(-1)
        self.prepared = False

    @property
    def customised(self) -> bool:
        """Whether the image is not to be used as it is."""
        return bool(self._task.spec.setup or self._task.spec.apt)

    @property
    def image(self) -> Image:
        """The image that was asked for, once it was found."""
        return self._image

    async def save(self, tag: str, content: Content, place: Place) -> str:
        """Make the image `tag`, which holds the task ready to run; gives its id."""
        base = f"{engines.REPOSITORY}:{self._key}" if self.prepared else self._image.id
        return await make_image(self._engine, base, tag, content, self._interpreter, place)

    async def find(self) -> bool:
        """Have the engine and the image; whether it was here already. Raises `ContainerFailed`."""
        self._engine = await self._patiently(self._connect)
        image = await asyncio.to_thread(self._engine.image, self._name)
        cached = image is not None
        if image is None:
            image = await self._pull()
        self._image = image
        self._key = _key(image, self._task.spec)
        self._interpreter, self._using = await shown_interpreter(
            self._means.config.cache, self._recorder.set_up
        )
        if self.customised:
            await self._find_prepared()
        return cached

    async def _connect(self) -> Engine:
        engine = await asyncio.to_thread(engines.engine)
        await asyncio.to_thread(engine.ping)
        return engine

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives. An engine that has served this agent before may be just restarting:
        then it is asked again and again for a while, at last raises `MachineFailed`."""
        end = None
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await work()
            except EngineAway as error:
                if not (self._means.config.state / USED).exists():
                    raise
                if end is None:
                    self._recorder.say(f"waiting for the container engine: {error.why}")
                    end = loop.time() + RESTART_SECONDS
                if loop.time() > end:
                    raise MachineFailed(error.what, why=error.why, fix=error.fix) from error
            await asyncio.sleep(RESTART_PAUSE)

    async def _pull(self) -> Image:
        progress = Progress(self._name)
        going = True

        def tell(word: dict[str, Any]) -> bool:
            if line := progress.heard(word):
                loop.call_soon_threadsafe(self._recorder.set_up, line)
            return going

        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._engine.pull, self._name, tell)
        finally:
            going = False  # for the thread, when nobody waits any more
        if (image := await asyncio.to_thread(self._engine.image, self._name)) is None:
            raise ContainerFailed(f"the image {self._name} cannot be had", why="it vanished")
        return image

    async def _find_prepared(self) -> None:
        """Use the image that was prepared before, or hold the right to prepare it."""
        locks = self._means.config.cache / "images"
        locks.mkdir(parents=True, exist_ok=True)
        lock = locks / f"{self._key}.lock"
        lock.touch()  # for the order in which they are pruned
        if await asyncio.to_thread(self._engine.prepared, self._key) is None:
            self._preparing = await hold(lock)
        self.prepared = await asyncio.to_thread(self._engine.prepared, self._key) is not None
        if self.prepared:
            self._let_others_prepare()

    async def enter(self) -> Place:
        """Start the container. While it is to be customised, as its root."""
        (self._work / "home").mkdir(parents=True, exist_ok=True)
        (self._means.config.state / USED).touch()
        customising = self.customised and not self.prepared
        user = ROOT if customising else self._engine.user
        image = f"{engines.REPOSITORY}:{self._key}" if self.prepared else self._image.id
        wanted = self._wanted(image, user)
        self._container = await self._patiently(lambda: self._start(wanted))
        supervisor = self._container.supervisor
        supervisor.hold(self._means.diary.descriptor)
        execution = Execution(supervisor, self._recorder)
        self._python = await self._choose_python(execution)
        return Place(
            supervisor,
            execution,
            image_variables(
                self._image,
                self._arguments.env,
                self._means.config,
                self._work,
                f"{self._key}+{self._interpreter.key}",
                os.path.dirname(self._python),
            ),
            self._image.digest,
            _words(wanted),
            self._means.config.cache / "apt" / self._image.id.rpartition(":")[2][:12],
        )

    async def _start(self, wanted: Wanted) -> Container:
        if self._unsure:
            await asyncio.to_thread(self._engine.sweep, self._labels)
        self._unsure = True
        container = await Container.start(self._engine, wanted, self._socket.parent)
        self._unsure = False
        return container

    def _wanted(self, image: str, user: str) -> Wanted:
        config = self._means.config
        config.cache.mkdir(parents=True, exist_ok=True)
        for name in ("git", ARTIFACTS):
            (config.cache / name).mkdir(exist_ok=True)
        nothing = config.state / "nothing"
        nothing.mkdir(exist_ok=True)
        process = runtime(self._interpreter)
        trusted = (Mount(str(config.trusted), AUTHORITIES),) if config.trusted else ()
        return Wanted(
            image=image,
            argv=process.argv,
            mounts=(
                *process.mounts,
                same(os.path.realpath(uv.find_uv_bin())),
                same(self._means.sdk),
                same(self._socket, writable=True),
                same(self._work, writable=True),
                # One mount, so that files can be linked from uv's cache into environments.
                same(config.cache, writable=True),
                # No tmpfs: Podman copies into it what it hides.
                *(Mount(str(nothing), str(config.cache / name)) for name in HIDDEN),
                *trusted,
            ),
            user=user,
            arguments=self._arguments,
            labels=self._labels,
        )

    async def keep(self) -> Place | None:
        """Keep the customised image; gives a new place if the task must not run as its root."""
        assert self._container is not None
        await asyncio.to_thread(self._engine.commit, self._container.id, self._key)
        self._let_others_prepare()
        self.prepared = True
        if self._engine.user == ROOT:
            return None
        await self._container.close()
        return await self.enter()

    async def for_environments(self, place: Place, recipe: Recipe) -> Place:
        """The place with a cache for uv that suits the image: what was built for one C library
        does not run with an older one. Raises `EnvironmentFailed` where uv cannot run."""
        assert place.variables is not None
        library = await self._c_library(place.execution)
        if recipe.manager in ("uv", "pip", "poetry"):  # uv finds the Python of all three
            await check_uv_runs(self._name, library, place.execution.ask, place.variables)
        if library == own_c_library():
            return place
        cache = self._means.config.cache / f"uv-{library}"
        return replace(place, variables=place.variables | {"UV_CACHE_DIR": str(cache)})

    async def _choose_python(self, execution: Execution) -> str:
        """The program for tasks in an image without Python."""
        shown = self._interpreter
        if shown.apart and is_older(await self._c_library(execution)):
            return shown.apart
        return shown.path

    async def _c_library(self, execution: Execution) -> str:
        env = {"PATH": DEFAULT_PATH, **self._image.variables}
        if self._image.id not in _libraries:
            _libraries[self._image.id] = await c_library(execution.ask, env)
        return _libraries[self._image.id]

    async def check_python(self, place: Place) -> None:
        """Raise `EnvironmentFailed` if no Python runs in the image at all."""
        assert place.variables is not None
        await check_python_runs(self._name, self._python, place.execution.ask, place.variables)

    def memory_evidence(self) -> str:
        """What says that the kernel killed a process for want of memory; empty if nothing does."""
        return self._container.memory.evidence() if self._container else ""

    async def close(self) -> None:
        """End the container, and return when none of its processes is left."""
        self._let_others_prepare()
        if self._container:
            await self._container.close()
        self._using.release()

    def _let_others_prepare(self) -> None:
        if self._preparing:
            self._preparing.release()
            self._preparing = None


def _key(image: Image, spec: Spec) -> str:
    """The name of what the task makes of the image, before its code is there."""
    parts = (image.id, spec.setup or "", sorted(spec.apt))
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:24]


def _words(wanted: Wanted) -> tuple[str, ...]:
    """How `docker run` makes such a container, for whoever wants to look around in one."""
    options = ["--rm", "--user", wanted.user, "--entrypoint", ""]
    for mount in wanted.mounts:
        mode = "rw" if mount.writable else "ro"
        if os.path.isdir(mount.source) or os.path.isfile(mount.source):
            options += ["--volume", f"{mount.source}:{mount.target}:{mode}"]
    if wanted.arguments.network:
        options += ["--network", wanted.arguments.network]
    return (*options, wanted.image)


def sweep(config: Config, log: Callable[[str], None]) -> None:
    """Remove the containers that an earlier run of this agent left. Blocks."""
    if not (config.state / USED).exists():
        return
    try:
        if count := engines.engine().sweep({engines.AGENT: str(config.state)}):
            log(f"removed {count} containers that an earlier run left")
    except ContainerFailed as error:
        log(f"containers that an earlier run may have left: {error}")
