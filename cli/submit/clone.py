"""`evq clone`: the same task again, with changes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec
from msgspec.structs import replace

from ...core import arguments, parameters, units
from ...core.errors import UsageError
from ...core.sdk import cloning
from ...core.spec import (
    Command,
    Container,
    Entry,
    Limits,
    Manager,
    Module,
    Notebook,
    Repo,
    Script,
    Spec,
    argv_text,
    check_spec,
)
from .. import output
from ..calling import call
from ..completion import complete_queue, complete_task
from ..options import json_option
from ..selectors import resolve
from ..tasks.difference import Change, change_lines, spec_changes
from ..tasks.document import spec_facts
from .after import NONE, resolve_after
from .enqueue import (
    Submission,
    facts_of,
    hand_in,
    summary,
    warn_of_dependency,
    warn_of_queue,
    warn_of_service,
)
from .request import package_names, pairs, read_setup, variables
from .wish import REST, TaskCommand, force_option, keep_option

if TYPE_CHECKING:
    from ...core.sdk.client import Client


class Part(msgspec.Struct, frozen=True):
    """A field of the spec that an option gives, and how what was typed is read."""

    field: str
    read: Callable[[Any], Any] = lambda given: given


PARTS = {
    "queue": Part("queue"),
    "name": Part("name"),
    "tag": Part("tags"),
    "priority": Part("priority"),
    "env": Part("manager"),
    "requirement": Part("requirements"),
    "python": Part("python"),
    "setup": Part("setup", read_setup),
    "apt": Part("apt", package_names),
    "index": Part("indexes"),
    "constraint": Part("constraints"),
    "torch_backend": Part("torch_backend"),
    "secret": Part("secrets"),
    "client": Part("client"),
    "port": Part("ports"),
    "retries": Part("retries"),
    "timeout": Part("timeout", units.seconds),
    "grace": Part("grace", units.seconds),
    "keep": Part("keep", units.seconds),
}
"""By the option's name. What was not given leaves the field as it is."""


LIMITS: dict[str, Callable[[Any], Any]] = {"memory": units.size, "cpus": float, "processes": int}
"""The options that are fields of the spec's `limits`, each of which can be given alone."""


class CloneCommand(TaskCommand):
    """Its command line goes on after `--` with another one for the task."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["[OPTIONS]", "TASK [SCRIPT] [-- ARGS | COMMAND…]"]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The changes as they were typed; `given` are the options of `PARTS`."""

    script: str | None
    module: str | None
    rest: tuple[str, ...] | None
    set: tuple[str, ...]
    add: tuple[str, ...]
    force: bool
    setenv: tuple[str, ...]
    unsetenv: tuple[str, ...]
    after: tuple[str, ...]
    given: dict[str, Any]


@click.command(cls=CloneCommand)
@click.argument("task", shell_complete=complete_task)
@click.argument("script", required=False)
@click.option("-m", "module", metavar="MODULE", help="Run this Python module instead.")
@click.option("--set", multiple=True, metavar="K=V", help="Another value for a parameter.")
@click.option("--add", multiple=True, metavar="K=V", help="A parameter that is not there yet.")
@force_option
@click.option("--setenv", multiple=True, metavar="K[=V]", help="Another environment variable.")
@click.option("--unsetenv", multiple=True, metavar="K", help="Leave an environment variable out.")
@click.option("-q", "--queue", metavar="NAME", shell_complete=complete_queue, help="The queue.")
@click.option("--name", help="A name for people.")
@click.option("--tag", multiple=True, metavar="TAG", help="Other tags; may be repeated.")
@click.option("--priority", type=int, metavar="0..9", help="Higher runs sooner.")
@click.option(
    "--env",
    type=click.Choice(get_args(Manager)),
    metavar="KIND",
    help="What makes its environment.",
)
@click.option(
    "-r", "--requirement", multiple=True, metavar="FILE|PKG", help="Other requirements, all anew."
)
@click.option("--python", metavar="VERSION", help="Another Python, such as 3.12.")
@click.option("--repo", metavar="URL", help="The code of this remote instead.")
@click.option("--branch", metavar="NAME", help="The newest commit of another branch of the remote.")
@click.option("--commit", metavar="ID|TAG", help="Another commit of the remote.")
@click.option("--docker", metavar="IMAGE", help="Another image; none leaves the container out.")
@click.option("--docker-arg", multiple=True, metavar="ARG", help="Other arguments, all anew.")
@click.option("--setup", metavar="FILE", help="Another set-up script.")
@click.option("--apt", multiple=True, metavar="PKG", help="Other system packages, all anew.")
@click.option("--index", multiple=True, metavar="URL", help="Other package indexes, all anew.")
@click.option("--constraint", multiple=True, metavar="FILE", help="Other constraints, all anew.")
@click.option("--torch-backend", metavar="NAME", help="Another build of torch, such as cu128.")
@click.option("--secret", multiple=True, metavar="[VAR=]NAME", help="Other secrets, all anew.")
@click.option("--client/--no-client", default=None, help="Give it a login to the server, or not.")
@click.option("--port", type=int, multiple=True, metavar="N", help="Other ports, all anew.")
@click.option("--retries", type=int, metavar="N", help="Run again after a failure.")
@click.option("--timeout", metavar="TIME", help="End it after that long, such as 2h.")
@click.option("--grace", metavar="TIME", help="From SIGTERM to SIGKILL.")
@keep_option
@click.option("--memory", metavar="SIZE", help="The most memory it may use, such as 8GiB.")
@click.option("--cpus", type=float, metavar="N", help="The most processor time, as in 1.5.")
@click.option("--processes", type=int, metavar="N", help="The most processes and threads.")
@click.option(
    "--after",
    multiple=True,
    metavar="TASK[:END]",
    help="Other tasks to wait for, all anew; none waits for none.",
)
@click.option("--dry-run", is_flag=True, help="Say what would differ, and enqueue nothing.")
@click.option("--quiet", is_flag=True, help="Print the new task's id, and nothing else.")
@json_option
def clone(
    task: str,
    script: str | None,
    module: str | None,
    set: tuple[str, ...],
    add: tuple[str, ...],
    force: bool,
    setenv: tuple[str, ...],
    unsetenv: tuple[str, ...],
    after: tuple[str, ...],
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Enqueue a task once more as a task of its own: the same code, with changes.

    --set rewrites a parameter where it stands: on the command line, among those of evq, or in
    the environment. What differs is printed to stderr.

    After -- stands another command, or, if it begins like an option or a key, other arguments
    for the task's script or module.

    \b
    Examples:
      evq clone @ --set lr=0.01
      evq clone k3f9 -q gpu --name "longer run" --timeout 8h --add epochs=100
      evq clone k3f9 eval.py -- --split test
    """
    rest = click.get_current_context().meta.get(REST)
    wish = Wish(
        script=script,
        module=module,
        rest=rest,
        set=set,
        add=add,
        force=force,
        setenv=setenv,
        unsetenv=unsetenv,
        after=after,
        given=given,
    )
    plan, done = call(lambda client: _clone(client, task, wish, dry_run))
    if as_json:
        facts = facts_of(done) if done else {"task": None} | spec_facts(plan.spec)
        output.say_json(facts | {"changes": plan.changes})
    elif quiet and done:
        output.say(done.receipt.task)
    else:
        _show(plan, done)


class Plan(msgspec.Struct, frozen=True):
    """What is to be enqueued, and how it differs from the task it is made from."""

    spec: Spec
    changes: list[Change]


def _show(plan: Plan, done: Submission | None) -> None:
    for line in summary(done) if done else [f"would enqueue {argv_text(plan.spec.entry)}"]:
        output.say(line)
    for line in change_lines(plan.changes) or ["nothing differs"]:
        output.note(f"  {line}")
    if done:
        warn_of_queue(done)
        warn_of_dependency(done)
        warn_of_service(done)


async def _clone(
    client: Client, selector: str, wish: Wish, dry_run: bool
) -> tuple[Plan, Submission | None]:
    source = await client.get(await resolve(client, selector))
    spec = cloning.twin(source.id, source.spec)
    if wish.after:
        words = [] if wish.after == (NONE,) else wish.after
        spec = replace(spec, after=await resolve_after(client, words))
    spec = check_spec(changed(spec, wish))
    plan = Plan(spec, spec_changes(source.spec, spec))
    if dry_run:
        return plan, None
    return plan, await hand_in(client, spec, 0)


def changed(spec: Spec, wish: Wish) -> Spec:
    """`spec` with what was given put in. Raises `UsageError`."""
    spec = cloning.changed(
        spec,
        entry=other_entry(spec.entry, wish),
        params=pairs(wish.set, "--set"),
        add=wish.add,
        force=wish.force,
    )
    kept = _without(spec.variables, wish.unsetenv)
    spec = replace(spec, variables=kept | variables(wish.setenv))
    given = {option: value for option, value in wish.given.items() if value not in (None, ())}
    bounds = {name: LIMITS[name](given.pop(name)) for name in LIMITS if name in given}
    if bounds:
        spec = replace(spec, limits=replace(spec.limits or Limits(), **bounds))
    spec = with_remote(spec, *(given.pop(name, None) for name in ("repo", "branch", "commit")))
    image, words = given.pop("docker", None), given.pop("docker_arg", None)
    spec = replace(spec, container=other_container(spec.container, image, words))
    return replace(spec, **{PARTS[name].field: PARTS[name].read(v) for name, v in given.items()})


def other_entry(entry: Entry, wish: Wish) -> Entry:
    """What is to run instead: another script or module, other arguments, or a command."""
    old = () if isinstance(entry, Command) else parameters.arguments_of(entry)
    args = old if wish.rest is None else wish.rest
    if wish.script and wish.module:
        raise UsageError(
            "a task runs a script or a module, not both",
            why=f"{wish.script} and -m {wish.module} are given",
            fix="leave one of them out",
        )
    if wish.module:
        return Module(wish.module, args)
    if wish.script:
        notebook = wish.script.endswith(".ipynb")
        return Notebook(wish.script) if notebook else Script(wish.script, args)
    if wish.rest is None:
        return entry
    if not isinstance(entry, Command) and (not args or arguments.read(args[:1])):
        return parameters.with_arguments(entry, args)
    return Command(args)


def with_remote(spec: Spec, url: str | None, branch: str | None, commit: str | None) -> Spec:
    """`spec` with the code of another remote, branch or commit. Raises `UsageError`.

    A branch takes the place of a commit, and a commit that of a branch. What ran from a snapshot
    runs from the remote alone, at the same place of its tree.
    """
    if url is None and branch is None and commit is None:
        return spec
    old = spec.repo
    if url is None and old is None:
        remote = (spec.code.remote if spec.code else None) or "URL"
        option = f"--branch {branch}" if branch else f"--commit {commit}"
        raise UsageError(
            f"the task has no other {'branch' if branch else 'commit'}",
            why="its code was sent from a disk, as it lay there",
            fix=f"--repo {remote} {option}",
        )
    known = Repo(url or (old.url if old else "")) if url or old is None else old
    if branch is not None or commit is not None:
        known = replace(known, branch=branch, commit=commit)
    entry, folder = spec.entry, spec.code.folder if spec.code else "."
    if isinstance(entry, Script | Notebook):
        entry = replace(entry, path=posixpath.normpath(posixpath.join(folder, entry.path)))
    return replace(spec, repo=known, code=None, entry=entry)


def other_container(
    old: Container | None, image: str | None, words: tuple[str, ...] | None
) -> Container | None:
    """The container with another image or other arguments. Raises `UsageError`."""
    if image == "none":
        return None
    kept = words if words is not None else old.args if old else ()
    if image or old:
        return Container(image or (old.image if old else ""), kept)
    if words:
        raise UsageError(
            "--docker-arg stands without --docker",
            why="the task runs in no container",
            fix="--docker IMAGE",
        )
    return None


def _without(known: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    for name in names:
        if name not in known:
            raise UsageError(
                f"--unsetenv {name}: the task sets no such variable",
                why=f"it sets {', '.join(known)}" if known else "it sets none",
                fix="leave it out",
            )
    return {name: value for name, value in known.items() if name not in names}
