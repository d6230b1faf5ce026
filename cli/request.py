"""What the command line asks to be run: its words and options, made into a task's spec."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import msgspec

from ..core import parameters, units
from ..core.errors import UsageError
from ..core.sdk.author import host_name, user_name
from ..core.spec import (
    Command,
    Container,
    Entry,
    Limits,
    Manager,
    Module,
    Script,
    Spec,
    argv_text,
)
from .completion import complete_queue

_F = TypeVar("_F", bound=Callable[..., Any])

NAME_LENGTH = 60
REST = "evq.rest"


class TaskCommand(click.Command):
    """A verb whose command line goes on after `--` with the task's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = args
        if "--" in args:
            mark = args.index("--")
            own, ctx.meta[REST] = args[:mark], tuple(args[mark + 1 :])
        try:
            return super().parse_args(ctx, list(own))
        except click.NoSuchOption as error:
            raise _perhaps_for_the_task(error, own) from error

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "SCRIPT [-- ARGS] | -m MODULE [-- ARGS] | -- COMMAND…"]


def _perhaps_for_the_task(error: click.NoSuchOption, own: Sequence[str]) -> Exception:
    """The same error; if a script was named before the option, it tells of `--`."""
    at = next((n for n, word in enumerate(own) if word.split("=")[0] == error.option_name), 0)
    script = next((n for n, word in enumerate(own[:at]) if Path(word).is_file()), None)
    if script is None or error.ctx is None:
        return error
    words = " ".join([*own[: script + 1], "--", *own[script + 1 :]])
    return UsageError(
        f"evq has no option {error.option_name}",
        why=f"if it is meant for {own[script]}, it goes after --",
        fix=f"{error.ctx.command_path} {words}",
    )


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a task as they were typed."""

    script: tuple[str, ...]
    module: str | None
    queue: str | None
    name: str | None
    tag: tuple[str, ...]
    priority: int | None
    env: Manager
    requirement: tuple[str, ...]
    python: str | None
    docker: str | None
    docker_arg: tuple[str, ...]
    setup: str | None
    apt: tuple[str, ...]
    index: tuple[str, ...]
    constraint: tuple[str, ...]
    torch_backend: str | None
    set: tuple[str, ...]
    force: bool
    setenv: tuple[str, ...]
    secret: tuple[str, ...]
    retries: int
    timeout: str | None
    grace: str | None
    keep: str | None
    memory: str | None
    cpus: float | None
    processes: int | None
    key: str | None
    no_code: bool
    include: tuple[str, ...]
    rest: tuple[str, ...] | None = None


force_option = click.option("--force", is_flag=True, help="Let --set change a parameter's type.")
keep_option = click.option(
    "--keep", metavar="TIME", help="How long its folder stays after a failure; 0 is not at all."
)


def task_options(command: _F) -> _F:
    """The arguments and options that say what to run, and how."""
    options = [
        click.argument("script", nargs=-1),
        click.option("-m", "module", metavar="MODULE", help="Run a Python module."),
        click.option(
            "-q",
            "--queue",
            metavar="NAME",
            help="The queue.  [default: the setting queue]",
            shell_complete=complete_queue,
        ),
        click.option("--name", help="A name for people.  [default: the command]"),
        click.option("--tag", multiple=True, metavar="TAG", help="A tag; may be repeated."),
        click.option("--priority", type=int, metavar="0..9", help="Higher runs sooner.  [5]"),
        click.option(
            "--env",
            type=click.Choice(get_args(Manager)),
            default="auto",
            help="What makes its environment: auto, uv, pip, poetry, conda, system (the Python"
            " that is there, recorded) or none.  [auto]",
            metavar="KIND",
        ),
        click.option(
            "-r",
            "--requirement",
            multiple=True,
            metavar="FILE|PKG",
            help="What to install; may be repeated.",
        ),
        click.option("--python", metavar="VERSION", help="The Python to use, such as 3.12."),
        click.option("--docker", metavar="IMAGE", help="Run it in a container of this image."),
        click.option(
            "--docker-arg",
            multiple=True,
            metavar="ARG",
            help="An argument for the container, such as --docker-arg=--shm-size=8g; repeatable.",
        ),
        click.option(
            "--setup", metavar="FILE", help="A shell script to run before the code is put in place."
        ),
        click.option(
            "--apt", multiple=True, metavar="PKG", help="A system package to install; repeatable."
        ),
        click.option(
            "--index",
            multiple=True,
            metavar="URL",
            help="A package index to look at first; ${NAME} in it is a secret.",
        ),
        click.option(
            "--constraint",
            multiple=True,
            metavar="FILE",
            help="Limits to the versions of what is installed.",
        ),
        click.option(
            "--torch-backend",
            metavar="NAME",
            help="Which build of torch, such as cpu or cu126; auto takes what the machine has.",
        ),
        click.option(
            "--set",
            multiple=True,
            metavar="K=V",
            help="Another value for K on the command line, else evq.params['K'] in the task.",
        ),
        force_option,
        click.option(
            "--setenv",
            multiple=True,
            metavar="K[=V]",
            help="An environment variable; without =V, its value here.",
        ),
        click.option(
            "--secret",
            multiple=True,
            metavar="[VAR=]NAME",
            help="A variable whose value the agent knows; only the name is sent.",
        ),
        click.option(
            "--retries", type=int, default=0, metavar="N", help="Run again after a failure.  [0]"
        ),
        click.option("--timeout", metavar="TIME", help="End it after that long, such as 2h."),
        click.option("--grace", metavar="TIME", help="From SIGTERM to SIGKILL."),
        keep_option,
        click.option("--memory", metavar="SIZE", help="The most memory it may use, such as 8GiB."),
        click.option("--cpus", type=float, metavar="N", help="The most processor time, as in 1.5."),
        click.option("--processes", type=int, metavar="N", help="The most processes and threads."),
        click.option("--key", help="Enqueue at most one task with this key."),
        click.option("--no-code", is_flag=True, help="Send no code with the command."),
        click.option(
            "--include",
            multiple=True,
            metavar="FILE",
            help="Send a file that is ignored or looks secret.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def make_wish(options: dict[str, Any]) -> Wish:
    """The options of the verb that runs now."""
    return Wish(**options, rest=click.get_current_context().meta.get(REST))


def make_entry(wish: Wish, cwd: Path) -> Entry:
    """What to run. A script's path is still relative to `cwd`."""
    if wish.module:
        if wish.script:
            raise _stray(wish.script[0], f"-m {wish.module}", wish.script)
        return Module(wish.module, wish.rest or ())
    if not wish.script:
        if not wish.rest:
            raise UsageError(
                "there is nothing to run",
                why="name a script, a module (-m), or a command after --",
                fix="evq enqueue train.py -- --lr 0.1",
            )
        return Command(wish.rest)
    script, *others = wish.script
    _check_script(script, others, cwd)
    if others:
        raise _stray(others[0], script, others)
    return Script(script, wish.rest or ())


def _stray(word: str, after: str, words: Sequence[str]) -> UsageError:
    return UsageError(
        f"{word!r} stands where only evq's own options may",
        why=f"arguments for {after} go after --",
        fix=f"evq enqueue {after} -- {' '.join(words)}",
    )


def _check_script(script: str, others: Sequence[str], cwd: Path) -> None:
    path = cwd / script
    if path.is_file():
        return
    if path.is_dir():
        raise UsageError(
            f"{script} is a folder, not a script",
            why="a package is run as a module",
            fix=f"evq enqueue -m {script.strip('/').replace('/', '.')}",
        )
    if shutil.which(script):
        raise UsageError(
            f"there is no file {script} here",
            why=f"{script} is a program; a command goes after --",
            fix=f"evq enqueue -- {' '.join([script, *others])}",
        )
    import difflib

    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    raise UsageError(
        f"there is no file {script} here" + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"looked in {path.parent}",
        fix=f"evq enqueue {posixpath.join(posixpath.dirname(script), near[0])}" if near else "ls",
    )


def make_spec(wish: Wish, entry: Entry, queue: str) -> Spec:
    """The spec of the task, its code left out. Raises `UsageError`."""
    spec = Spec(
        entry=entry,
        name=wish.name or "",
        queue=wish.queue or queue,
        tags=wish.tag,
        manager=wish.env,
        requirements=wish.requirement,
        python=wish.python,
        container=make_container(wish),
        setup=read_setup(wish.setup) if wish.setup else None,
        apt=package_names(wish.apt),
        indexes=wish.index,
        constraints=wish.constraint,
        torch_backend=wish.torch_backend,
        variables=variables(wish.setenv),
        secrets=wish.secret,
        retries=wish.retries,
        timeout=units.seconds(wish.timeout) if wish.timeout else None,
        grace=units.seconds(wish.grace) if wish.grace else None,
        keep=units.seconds(wish.keep) if wish.keep else None,
        limits=limits(wish),
        key=wish.key,
        user=user_name(),
        host=host_name(),
    )
    spec = _with_parameters(spec, wish)
    name = wish.name or default_name(spec.entry, spec.params)
    priority = spec.priority if wish.priority is None else wish.priority
    return msgspec.structs.replace(spec, name=name, priority=priority)


def _with_parameters(spec: Spec, wish: Wish) -> Spec:
    """`spec` with what `--set` says: in the place of what is on the command line or in the
    environment already, else as a parameter of evq's own."""
    for name, text in pairs(wish.set, "--set").items():
        if parameters.knows(spec, name):
            spec = parameters.override(spec, {name: text}, force=wish.force)
        else:
            spec = msgspec.structs.replace(spec, params=spec.params | {name: text})
    return spec


def make_container(wish: Wish) -> Container | None:
    """The container that is asked for. Raises `UsageError` for arguments without an image."""
    if wish.docker:
        return Container(wish.docker, wish.docker_arg)
    if wish.docker_arg:
        raise UsageError(
            "--docker-arg stands without --docker",
            why="an argument is for the container of an image",
            fix="--docker IMAGE",
        )
    return None


def package_names(words: Sequence[str]) -> tuple[str, ...]:
    """The names in `--apt` words, several with commas between if one likes."""
    return tuple(name for word in words for name in word.replace(",", " ").split())


def read_setup(path: str) -> str:
    """The text of a set-up script. Raises `UsageError`."""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the set-up script {path} cannot be read",
            why=getattr(error, "strerror", None) or "it is not UTF-8 text",
            fix=f"ls -l {path}",
        ) from error


def limits(wish: Wish) -> Limits | None:
    """What the task may use at most; None if nothing was said of it."""
    memory = units.size(wish.memory) if wish.memory else None
    found = Limits(memory, wish.cpus, wish.processes)
    return None if found == Limits() else found


def default_name(entry: Entry, params: dict[str, str]) -> str:
    """A name that tells the tasks of one script apart: `train.py --lr 0.1 seed=3`."""
    words = argv_text(entry)
    if isinstance(entry, Script):
        words = argv_text(Script(posixpath.basename(entry.path), entry.args))
    words = " ".join([*words.split(), *(f"{name}={value}" for name, value in params.items())])
    return words if len(words) <= NAME_LENGTH else words[: NAME_LENGTH - 1] + "…"


def pairs(written: Sequence[str], option: str) -> dict[str, str]:
    """The names and values in `K=V` words. Raises `UsageError`."""
    found = {}
    for word in written:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise UsageError(
                f"{option} {word} sets nothing",
                why="it wants a name, = and a value",
                fix=f"{option} {name or 'NAME'}=VALUE",
            )
        found[name] = value
    return found


def variables(written: Sequence[str]) -> dict[str, str]:
    """The environment variables in `K=V` and `K` words; the latter are taken from here."""
    for word in written:
        if "=" not in word and word not in os.environ:
            raise UsageError(
                f"--setenv {word}: there is no such variable here",
                why="without a value it is taken from this shell's environment",
                fix=f"--setenv {word}=VALUE",
            )
    return pairs([w if "=" in w else f"{w}={os.environ[w]}" for w in written], "--setenv")
