"""From a task's spec to what is run: its code, its environment, its command, its variables."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ...core import parameters
from ...core.errors import CodeFailed, NotFound
from ...core.ports import BusAway
from ...core.spec import Code, Command, Inline, Module, Notebook, Script, Spec
from ...core.state import EnvironmentRecord, Task
from .. import environments
from ..containers.variables import carried
from ..environments.base import Environment, Recipe, Request
from ..gang.variables import gang_variables
from ..means import Means
from ..secret_sources import Secrets
from ..sources import workdir
from ..sources.credentials import credentials
from ..sources.remote import Placed, Remote
from ..trust import trust_variables
from . import notebook
from .command import Run
from .place import Place
from .variables import setup_variables, task_variables

LONGEST_PARAMS = 100_000
"""Characters of all parameters together that a task finds in `evq.params`."""


@dataclass
class PhaseNotes:
    """What a step of set-up tells about itself."""

    cached: bool | None = None
    detail: str = ""
    commit: str | None = None


@dataclass(frozen=True)
class Built:
    """An environment with what is recorded of it."""

    environment: Environment | None = None
    record: EnvironmentRecord | None = None
    detail: str = ""
    tools: Environment | None = None

    @property
    def cached(self) -> bool | None:
        """Whether nothing of it had to be made; None if it is nothing."""
        made = list(filter(None, (self.environment, self.tools)))
        return all(one.cached for one in made) if made else None

    def release(self) -> None:
        """Say that nothing of it is in use any more."""
        for environment in filter(None, (self.environment, self.tools)):
            environment.release()


async def put(means: Means, task: Task, target: Path, run: Run, notes: PhaseNotes) -> None:
    """Make `target` the work tree of the task's code, and note what was done."""
    code = task.spec.code
    if code:
        notes.cached = await put_code(means, code, target, run)
        notes.detail = code.snapshot[:12]
        return
    placed = await put_repo(means, task, target, run)
    notes.cached, notes.detail, notes.commit = placed.cached, placed.summary, placed.commit


def _params_alone(spec: Spec) -> str:
    return msgspec.json.encode(
        {name: parameters.typed(v) for name, v in spec.params.items()}
    ).decode()


def base_variables(means: Means, place: Place, *, task: bool = False) -> dict[str, str]:
    """What a command of set-up, or the task's own, finds in a place before anything is said."""
    chosen = task_variables if task else setup_variables
    config = means.config
    if place.variables is not None:
        return carried(chosen(config.pass_env), config.pass_env) | place.variables
    return chosen(config.pass_env) | trust_variables(config.trusted if config.extra_ca else None)


async def put_code(means: Means, code: Code, target: Path, run: Run) -> bool:
    """Make `target` the work tree of the task's snapshot; whether the cache had it."""
    cache = means.config.cache
    target.parent.mkdir(parents=True, exist_ok=True)
    if workdir.has(cache, code.snapshot):
        await workdir.checkout((), code.snapshot, cache=cache, target=target, run=run)
        return True
    with tempfile.TemporaryDirectory(prefix="blobs-", dir=target.parent) as folder:
        blobs = [Path(folder) / f"{number}.bundle" for number in range(len(code.blobs))]
        for name, path in zip(code.blobs, blobs, strict=True):
            await _fetch(means, name, path)
        await workdir.checkout(blobs, code.snapshot, cache=cache, target=target, run=run)
    return False


async def put_repo(means: Means, task: Task, target: Path, run: Run) -> Placed:
    """Make `target` a work tree of the task's remote.

    The commit that an earlier attempt found is taken again, so that a retry runs the same code.
    """
    repo, config = task.spec.repo, means.config
    assert repo is not None
    logins = credentials(config.git_credentials, config.git_protocol, config.git_ssh)
    target.parent.mkdir(parents=True, exist_ok=True)
    earlier = [one.commit for one in task.past if one.commit]
    return await Remote(config.cache, logins, run).checkout(
        repo, target, pinned=earlier[0] if earlier else None
    )


async def _fetch(means: Means, name: str, path: Path) -> None:
    while True:
        try:
            return await means.bus.objects.get(name, path)
        except BusAway as away:
            await means.bus.wait(away)
        except NotFound as error:
            raise CodeFailed(error.what, why=error.why, fix=error.fix) from error


def recipe(spec: Spec, tree: Path) -> Recipe | None:
    """The environment that the task needs; None if it runs with what the machine has."""
    plain = isinstance(spec.entry, Command)
    wishes = bool(
        spec.requirements or spec.python or spec.indexes or spec.constraints or spec.torch_backend
    )
    asks = spec.manager != "auto" or wishes
    bare = spec.code is None and spec.repo is None
    if (spec.manager == "none" and not wishes) or (plain and bare and not asks):
        return None
    found = environments.detect(
        tree,
        Request(
            manager=spec.manager,
            script=_script_in_tree(spec),
            folder=spec.code.folder if spec.code else ".",
            requirements=spec.requirements,
            python=spec.python,
            indexes=spec.indexes,
            constraints=spec.constraints,
            torch_backend=spec.torch_backend,
        ),
    )
    return None if plain and not asks and found.kind == "bare" else found


def _script_in_tree(spec: Spec) -> str | None:
    if not isinstance(spec.entry, Script):
        return None
    folder = spec.code.folder if spec.code else "."
    return os.path.normpath(os.path.join(folder, spec.entry.path))


async def build(
    means: Means, spec: Spec, recipe: Recipe, tree: Path, place: Place, secrets: Secrets
) -> Built:
    """Make the environment of `recipe`, or find it in the cache; for a notebook, Jupyter too, or
    the tools that are asked for."""
    run, base_env = place.execution.setup, base_variables(means, place)
    environment = await environments.prepare(
        recipe,
        tree=tree,
        cache=means.config.cache,
        run=run,
        base_env=base_env,
        secrets=secrets.values,
    )
    record = EnvironmentRecord(
        environment.manager,
        environment.python,
        environment.key,
        environment.packages,
        place.image,
    )
    detail = f"{environment.manager} ({recipe.source}), Python {environment.python}"
    if environment.python is None:
        detail = f"{environment.manager} ({recipe.source})"
    notes = list(environment.notes)
    tools = None
    if packages := notebook.JUPYTER if isinstance(spec.entry, Notebook) else spec.tools:
        tools = await notebook.tools(packages, tree, means.config.cache, environment, run, base_env)
        notes.append("with Jupyter" if packages is notebook.JUPYTER else "with tools")
    return Built(environment, record, "; ".join([detail, *notes]), tools)


def folder(spec: Spec, tree: Path) -> Path:
    """Where in the tree the command runs."""
    return tree / spec.code.folder if spec.code else tree


def command(spec: Spec, tree: Path, built: Built) -> list[str]:
    """The command line of the task's entry, for the PATH of its environment."""
    python = _python(built.environment)
    match spec.entry:
        case Command(argv):
            return list(argv)
        case Module(name, args):
            return [python, "-m", name, *args]
        case Inline(text, args):
            return [python, "-c", text, *args]
        case Notebook(path):
            _check_there(folder(spec, tree) / path, path)
            return [python, "-m", "evq_notebook", path]
        case Script(path, args):
            return [*_interpreter(folder(spec, tree) / path, path, python), *args]


def _python(environment: Environment | None) -> str:
    if environment and environment.executable:
        return environment.executable
    # Debian has no `python` outside of a virtual environment.
    return "python" if environment and environment.path else "python3"


def _interpreter(file: Path, path: str, python: str) -> list[str]:
    """How a script is run: by its kind, else by its own first line."""
    _check_there(file, path)
    if file.suffix == ".py":
        return [python, path]
    if file.suffix in (".sh", ".bash"):
        return ["bash", path]
    return [str(file)] if _executable(file) else [python, path]


def _check_there(file: Path, path: str) -> None:
    if not file.is_file():
        raise CodeFailed(
            f"there is no {path} in the task's code",
            why="the snapshot holds what git does not ignore",
            fix="check .gitignore, or add the file: git add -f",
        )


def _executable(file: Path) -> bool:
    return os.access(file, os.X_OK)


def variables(
    means: Means,
    task: Task,
    attempt: int,
    built: Built,
    socket: Path,
    place: Place,
    secrets: Secrets,
) -> dict[str, str]:
    """The variables of the task's command, the user's own last so that they win."""
    spec = task.spec
    base = base_variables(means, place, task=True)
    if built.environment:
        base = built.environment.apply(base)
    if built.tools:
        base |= notebook.variables(built.tools)
    # The words that stand in for evq where it is not installed would hide it where it is.
    has_evq = built.environment is not None and built.environment.executable is not None
    words = [] if has_evq and not isinstance(spec.entry, Notebook) else [str(means.sdk)]
    path = [*words, *filter(None, [base.get("PYTHONPATH")])]
    base |= {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "EVQ_TASK_ID": task.id,
        "EVQ_ATTEMPT": str(attempt),
        "EVQ_QUEUE": task.place.queue,
        "EVQ_NAME": spec.name,
        "EVQ_AGENT": means.config.name,
        "EVQ_AGENT_FOLDER": str(means.config.state),
        "EVQ_SOCKET": str(socket),
    }
    if given := parameters.values(spec):
        text = msgspec.json.encode(given).decode()
        # The kernel takes no variable of 128 KiB, and a long command line has its words already.
        base["EVQ_PARAMS"] = text if len(text) < LONGEST_PARAMS else _params_alone(spec)
    ran = task.live and task.live.commit
    if commit := ran or (spec.code and spec.code.commit):
        base["EVQ_COMMIT"] = commit
    base |= gang_variables(task)
    if array := spec.array:
        base["EVQ_ARRAY"], base["EVQ_ARRAY_INDEX"] = array.id, str(array.index)
        base["EVQ_ARRAY_SIZE"] = str(array.size)
    return {**base, **spec.variables, **secrets.variables}


def signal_name(number: int) -> str:
    """A signal's name, such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def remove(folder: Path) -> None:
    """Remove a work folder with all that is in it."""
    await asyncio.to_thread(workdir.remove, folder)


async def clear_scratch(folder: Path) -> None:
    """Make a slot's folder empty again. A task that left nothing in it costs next to nothing."""
    try:
        with os.scandir(folder) as entries:
            empty = next(entries, None) is None
    except FileNotFoundError:
        empty = False
    if not empty:
        await remove(folder)
        os.makedirs(folder)
