"""What a user asks for: the command, its code, its environment, its limits."""

from __future__ import annotations

import re
from math import inf
from typing import Literal

import msgspec

from .addresses import check_address
from .arrays.array import Array
from .artifacts import Input, check_inputs
from .container import check_image, check_packages, check_setup, read_arguments
from .errors import UsageError
from .fleet.labels import check_labels
from .ids import check_name, is_task_id
from .remotes import Repo as Repo
from .remotes import check_repo
from .units import size_text

PRIORITIES = range(10)
"""Priorities of a task inside its queue; a higher one runs sooner."""

_BACKEND = re.compile(r"[a-z][a-z0-9.]*")

DEFAULT_PRIORITY = 5
DEFAULT_LOSSES = 3

LEAST_MEMORY = 4 * 2**20
"""Bytes; with less, not even a shell starts."""

LEAST_CPUS = 0.01
"""The kernel does not count smaller shares of a processor."""

MOST_GPUS = 1024
MOST_NODES = 256
"""What concerns all of a gang is one atomic batch, which has room for 1000 messages."""
LONGEST_PROJECT = 100

PORTS = range(65536)
MOST_PORTS = 16

MOST_AWAITED = 200
"""How many tasks one task may await: all of them hear of it in one batch of events."""

Manager = Literal["auto", "uv", "pip", "poetry", "conda", "system", "agent", "none"]
"""What makes the environment; `auto` is decided by the files of the task's code, `agent` is the
Python that the agent itself runs with, which has evq."""


class Script(msgspec.Struct, frozen=True, tag_field="kind", tag="script"):
    """A file of the task's code, run by Python, by a shell (`.sh`) or by itself."""

    path: str
    args: tuple[str, ...] = ()


class Module(msgspec.Struct, frozen=True, tag_field="kind", tag="module"):
    """A Python module, run as `python -m`."""

    name: str
    args: tuple[str, ...] = ()


class Command(msgspec.Struct, frozen=True, tag_field="kind", tag="command"):
    """Any command, run as it is."""

    argv: tuple[str, ...]


class Notebook(msgspec.Struct, frozen=True, tag_field="kind", tag="notebook"):
    """A Jupyter notebook of the task's code, run from its first cell to its last."""

    path: str


class Inline(msgspec.Struct, frozen=True, tag_field="kind", tag="inline"):
    """Python code written on the command line, run as `python -c`."""

    text: str
    args: tuple[str, ...] = ()


Entry = Script | Module | Command | Notebook | Inline


class Code(msgspec.Struct, frozen=True, omit_defaults=True):
    """The exact code of a task: a snapshot in the object store, and where it came from.

    `blobs` are the names of the git bundles that hold `snapshot`, in the order in which they
    are to be read; `folder` is where in the tree the task runs. The rest is for people:
    the commit the author had checked out, and how far the disk was from it.
    """

    snapshot: str
    blobs: tuple[str, ...]
    folder: str = "."
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    changes: dict[str, int] = {}
    unpushed: int | None = None


class Container(msgspec.Struct, frozen=True, omit_defaults=True):
    """The image that a task runs in, and arguments for its container as `docker run` has them."""

    image: str
    args: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an attempt may use at most, set-up included, all of its processes together.

    `memory` is in bytes; `cpus` is how many processors' time it may take, such as 1.5;
    `processes` counts threads, too.
    """

    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None


On = Literal["ok", "failed", "any"]
"""How a task must end for what waits for it: `failed` is any end but that of a completed task."""


class After(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dependency: a task whose end is awaited, and how it must end."""

    task: str
    on: On = "ok"


class Gang(msgspec.Struct, frozen=True):
    """The place of a task among those that run together or not at all. `id` is the task of rank 0,
    which stands for all; the ranks go up to one less than the spec's `nodes`."""

    id: str
    rank: int


class Spec(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Everything an agent needs to know to run a task.

    `retries` is how often the task may run again after a failure of its own, `losses` after an
    attempt that was lost with its agent: the two budgets are apart. `timeout` and `grace` are
    in seconds; `timeout` counts from the start of the command, `grace` from SIGTERM to SIGKILL.
    `setup` is the text of a shell script and `apt` names system packages, for the machine or the
    image before the task's code is there.
    `keep` is how many seconds the folder of a failed attempt stays; null leaves it to the agent.
    `secrets` are names, never values: `NAME`, or `VARIABLE=NAME`; see `secret_names`.
    `gpus` is how many it has for itself, or with `gpu_memory` (bytes on each) shares with others;
    `needs` are labels that the agent must have, `nodes` on how many machines it runs at once:
    each of these is a task of its own then, with its place in `gang`.
    `array` is its place among tasks that were enqueued at once, told apart by an index.
    `after` are the tasks that it waits for before it stands in its queue, `inputs` the artifacts
    that it finds in its folder.
    `fair` is true where the queue is shared out evenly among users.
    `client` asks for a login to the server, so that the task can use evq itself.
    `ports` are those at which its command may be reached through tunnels, 0 is one that is free on
    the agent's machine; `tools` are packages that are laid behind those of its environment.
    `parent` is the task that enqueued it, or that it was cloned from.
    Who enqueues it fills in an empty `name`, `queue`, `user` and `host`.
    """

    entry: Entry
    name: str = ""
    queue: str = ""
    priority: int = DEFAULT_PRIORITY
    tags: tuple[str, ...] = ()
    code: Code | None = None
    repo: Repo | None = None
    manager: Manager = "auto"
    requirements: tuple[str, ...] = ()
    python: str | None = None
    container: Container | None = None
    setup: str | None = None
    apt: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    torch_backend: str | None = None
    variables: dict[str, str] = {}
    params: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    retries: int = 0
    losses: int = DEFAULT_LOSSES
    timeout: float | None = None
    grace: float | None = None
    keep: float | None = None
    limits: Limits | None = None
    gpus: int = 0
    gpu_memory: int | None = None
    needs: dict[str, str] = {}
    nodes: int = 1
    gang: Gang | None = None
    array: Array | None = None
    project: str = ""
    after: tuple[After, ...] = ()
    inputs: tuple[Input, ...] = ()
    fair: bool = False
    client: bool = False
    ports: tuple[int, ...] = ()
    tools: tuple[str, ...] = ()
    key: str | None = None
    parent: str | None = None
    user: str = ""
    host: str = ""


def check_spec(spec: Spec) -> Spec:
    """Return `spec` if an agent can act on it, else raise `UsageError`."""
    check_name(spec.queue, "queue")
    if spec.priority not in PRIORITIES:
        raise UsageError(
            f"priority {spec.priority} is out of range",
            why=f"priorities are {PRIORITIES[0]} to {PRIORITIES[-1]}, a higher one runs sooner",
            fix=f"--priority {DEFAULT_PRIORITY}",
        )
    if spec.retries < 0 or spec.losses < 0:
        raise UsageError("a number of retries cannot be negative", fix="--retries 0")
    for name, seconds in (("timeout", spec.timeout), ("grace", spec.grace)):
        if seconds is not None and seconds <= 0:
            raise UsageError(f"{name} must be longer than nothing", fix=f"--{name} 30s")
    if spec.keep is not None and spec.keep < 0:
        raise UsageError("a folder cannot be kept for less than nothing", fix="--keep 0")
    if isinstance(spec.entry, Command) and not spec.entry.argv:
        raise UsageError("there is no command to run", fix="evq enqueue -- COMMAND ARGS")
    if spec.container:
        check_image(spec.container.image)
        read_arguments(spec.container.args)
    check_packages(spec.apt)
    check_setup(spec.setup or "")
    _check_variables(spec.variables)
    if spec.repo:
        check_repo(spec.repo)
    _check_secrets(spec)
    _check_limits(spec.limits or Limits())
    _check_hardware(spec)
    _check_packages(spec)
    _check_ports(spec.ports)
    _check_after(spec.after)
    check_inputs(spec.inputs)
    return spec


def _check_ports(ports: tuple[int, ...]) -> None:
    for port in ports:
        if port not in PORTS:
            raise UsageError(f"{port} is no port", why="the highest is 65535", fix="--port 8888")
    if len(ports) > MOST_PORTS:
        raise UsageError(
            f"a task cannot let {len(ports)} ports be reached",
            why=f"{MOST_PORTS} are the most",
            fix="--port 8888",
        )


def _check_after(after: tuple[After, ...]) -> None:
    names = [one.task for one in after]
    for name in names:
        if not is_task_id(name):
            raise UsageError(
                f"{name!r} is no task that can be awaited",
                why="a task is awaited by its whole id",
                fix="--after ID, --after ID:any",
            )
        if names.count(name) > 1:
            raise UsageError(
                f"--after names task {name} twice",
                why="one task ends in one way",
                fix=f"--after {name}:any",
            )
    if len(after) > MOST_AWAITED:
        raise UsageError(
            f"a task cannot await {len(after)} others",
            why=f"at most {MOST_AWAITED} are told of it at once",
            fix="let a task in between await some of them, and await that one",
        )


def _check_hardware(spec: Spec) -> None:
    for option, value, least, most in (
        ("--gpus", spec.gpus, 0, MOST_GPUS),
        ("--nodes", spec.nodes, 1, MOST_NODES),
        ("--gpu-mem", spec.gpu_memory, 1, inf),
    ):
        if value is not None and not least <= value <= most:
            raise UsageError(
                f"{option} {value} is out of range",
                why=f"it is at least {least}" + (f" and at most {most}" if most < inf else ""),
                fix=f"{option} {'20GiB' if option == '--gpu-mem' else '1'}",
            )
    check_labels(spec.needs, "--need")
    if len(spec.project) > LONGEST_PROJECT or not spec.project.isprintable():
        raise UsageError(
            "--project is not a name for people",
            why=f"it is one line of at most {LONGEST_PROJECT} characters",
            fix="--project mnist",
        )


def _check_limits(limits: Limits) -> None:
    for option, value, least, example in (
        ("--memory", limits.memory, LEAST_MEMORY, "4GiB"),
        ("--cpus", limits.cpus, LEAST_CPUS, "2"),
        ("--processes", limits.processes, 1, "100"),
    ):
        # Written so that a `nan` is refused, too.
        if value is not None and not least <= value < inf:
            raise UsageError(
                f"{option} {value} is too little for a task, or no number",
                why=f"the least is {size_text(LEAST_MEMORY) if option == '--memory' else least}",
                fix=f"{option} {example}",
            )


def _check_variables(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise UsageError(
                f"{name!r} cannot be set as an environment variable",
                why="a name must not be empty nor hold '=', and neither may hold a NUL",
                fix="--setenv NAME=VALUE",
            )


_SECRET = re.compile(r"(?:([A-Za-z_][A-Za-z0-9_]{0,99})=)?([A-Z][A-Z0-9_]{0,63})")


def secret_names(secrets: tuple[str, ...]) -> dict[str, str]:
    """The names of the secrets by the variables in which the task finds them.

    Raises `UsageError`, which shows nothing of what stands where a name should: names are in
    capitals so that a value which was typed there is refused rather than stored.
    """
    found: dict[str, str] = {}
    for word in secrets:
        match = _SECRET.fullmatch(word)
        name = match[2] if match else ""
        variable = (match[1] or name) if match else ""
        if not name or variable.startswith("EVQ_"):
            raise UsageError(
                "a secret is named by --secret NAME or --secret VARIABLE=NAME",
                why="a name has up to 64 characters out of A-Z 0-9 _ and begins with a letter, "
                "a variable does not begin with EVQ_; the value stays with the agent",
                fix="--secret HF_TOKEN",
            )
        if variable in found:
            raise UsageError(f"two secrets are to be in {variable}", fix=f"--secret {variable}")
        found[variable] = name
    return found


def _check_secrets(spec: Spec) -> None:
    for variable in secret_names(spec.secrets):
        if variable in spec.variables:
            raise UsageError(
                f"{variable} is set twice, as a variable and as a secret",
                why="what --setenv sets is stored for everybody to read",
                fix=f"leave out --setenv {variable}",
            )


def _check_packages(spec: Spec) -> None:
    for address in spec.indexes:
        check_address(address, "--index")
        if "://" not in address or not address.isprintable() or " " in address:
            raise UsageError(
                f"{address!r} is not the address of a package index",
                why="it has no scheme such as https://, or more than one line or word",
                fix="--index https://HOST/simple",
            )
    for requirement in spec.requirements:
        check_address(requirement, "--requirement")
    if spec.torch_backend is not None and not _BACKEND.fullmatch(spec.torch_backend):
        raise UsageError(
            f"--torch-backend {spec.torch_backend} is none",
            why="it is auto, cpu, or one of uv's names such as cu126, rocm6.3, xpu",
            fix="--torch-backend auto",
        )


def argv_text(entry: Entry) -> str:
    """The entry as one line for people, such as `train.py --lr 0.1`."""
    match entry:
        case Script(path, args):
            return " ".join((path, *args))
        case Module(name, args):
            return " ".join(("-m", name, *args))
        case Command(argv):
            return " ".join(argv)
        case Notebook(path):
            return path
        case Inline(text, args):
            return " ".join(("-c", repr(text), *args))
