"""How a task is written on the command line: the words and options, as they were typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
import msgspec

from ...core.errors import UsageError
from ...core.spec import Manager
from ..completion import complete_queue

_F = TypeVar("_F", bound=Callable[..., Any])

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
        return ["[OPTIONS]", "SCRIPT [-- ARGS] | -m MODULE [-- ARGS] | -c CODE | -- COMMAND…"]


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
    client: bool
    port: tuple[int, ...]
    retries: int
    timeout: str | None
    grace: str | None
    keep: str | None
    memory: str | None
    cpus: float | None
    processes: int | None
    gpus: int
    gpu_mem: str | None
    need: tuple[str, ...]
    nodes: int
    project: str | None
    after: tuple[str, ...]
    input: tuple[str, ...]
    key: str | None
    no_code: bool
    include: tuple[str, ...]
    inline: str | None
    repo: str | None
    branch: str | None
    commit: str | None
    no_lfs: bool
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
        click.option("-c", "inline", metavar="CODE", help="Run Python code written right here."),
    ]
    command = how_options(command)
    for option in reversed(options):
        command = option(command)
    return command


def how_options(command: _F) -> _F:
    """The options that say where something runs, and with what."""
    options = [
        click.option(
            "--repo", metavar="URL", help="Run the code of this remote; the agent fetches it."
        ),
        click.option(
            "--branch", metavar="NAME", help="Its branch.  [default: the remote's own default]"
        ),
        click.option("--commit", metavar="ID|TAG", help="Its commit, or a tag."),
        click.option("--no-lfs", is_flag=True, help="Leave the pointers of LFS files as they are."),
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
            " that is there, recorded), agent (the agent's own, which has evq) or none.  [auto]",
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
            "--client", is_flag=True, help="Give it a login to the server: it uses evq itself."
        ),
        click.option(
            "--port",
            type=int,
            multiple=True,
            metavar="N",
            help="A port at which evq tunnel may reach it, 0 for a free one; repeatable.",
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
        click.option("--gpus", type=int, default=0, metavar="N", help="GPUs for it alone.  [0]"),
        click.option(
            "--gpu-mem", metavar="SIZE", help="That much of each GPU only, which others share."
        ),
        click.option(
            "--need",
            multiple=True,
            metavar="LABEL=VALUE",
            help="Only on agents with this label; repeatable.",
        ),
        click.option(
            "--nodes", type=int, default=1, metavar="N", help="Run on N machines at once.  [1]"
        ),
        click.option("--project", metavar="NAME", help="What it belongs to, for reports."),
        click.option(
            "--after",
            multiple=True,
            metavar="TASK[:END]",
            help="Wait for this task's end, ok, failed or any; repeatable.  [ok]",
        ),
        click.option(
            "--input",
            multiple=True,
            metavar="TASK:NAME[:PATH]",
            help="An artifact of a task, put into its folder before it starts; repeatable.",
        ),
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
