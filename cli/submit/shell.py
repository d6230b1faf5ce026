"""`evq shell`: into the place where a task failed, or where it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ...core.errors import Conflict, NotFound
from ...core.sdk.author import host_name
from ...core.state import Attempt, Claimed, Ended, Held, Queued, Running, Task
from ..calling import call, settings
from ..completion import complete_task
from ..selectors import resolve
from .launch import become

if TYPE_CHECKING:
    from ...core.sdk.client import Client


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.option("-c", "--command", metavar="TEXT", help="Run this by the shell, and end.")
@click.option("--attempt", type=int, metavar="N", help="One attempt.  [the last one]")
def shell(task: str, command: str | None, attempt: int | None) -> None:
    """Open a shell in the folder and the environment in which a task failed, or runs.

    The folder of a failed attempt stays for two hours (--keep of enqueue and agent), on the
    machine where it ran. With -c the shell's exit code is evq's.

    \b
    Examples:
      evq shell
      evq shell k3f9 -c "python -m pdb train.py"
    """
    found = call(lambda client: _task(client, task))
    one = _attempt(found, attempt)
    words = ["--task", found.id, *(["--command", command] if command is not None else [])]
    if one.end is None and one.launch:
        _check_host(found, one)
        _enter([*words, "--pid", str(one.launch.pid)])
    for folder in _folders(found, one):
        if folder.is_dir() and folder.with_name(f"{folder.name}.json").is_file():
            _enter([*words, "--kept", str(folder)])
    _check_host(found, one)
    raise NotFound(
        f"attempt {one.number} of task {found.id} left no folder here",
        why=_why_not(found, one),
        fix=f"evq repro {found.id} runs it here, from its snapshot",
    )


async def _task(client: Client, selector: str) -> Task:
    return await client.get(await resolve(client, selector))


def _enter(words: list[str]) -> NoReturn:
    become("evq.agent.attempts.shell", words, settings())


def _attempt(task: Task, number: int | None) -> Attempt:
    found = [one for one in task.attempts if number in (None, one.number)]
    if not found:
        raise NotFound(
            f"task {task.id} has no attempt" + (f" {number}" if number else ""),
            why=f"it has {len(task.attempts)}, and is {task.name_of_state}",
            fix=f"evq repro {task.id} runs it here, from its snapshot",
        )
    return found[-1]


def _check_host(task: Task, one: Attempt) -> None:
    """Raise `Conflict` if the attempt was on another machine, as far as is known."""
    host = one.launch.host if one.launch else one.agent
    if one.launch and host != host_name():
        raise Conflict(
            f"attempt {one.number} of task {task.id} ran on {host}",
            why=f"its folder is there, and this is {host_name()}",
            fix=f"ssh {host} -t evq shell {task.id}, or evq repro {task.id} to run it here",
        )


def _folders(task: Task, one: Attempt) -> Iterator[Path]:
    """Where the folder may be: beside where it ran, else where agents of this machine keep
    theirs."""
    name = f"{task.id}-{one.number}"
    if one.launch and one.launch.host == host_name():
        yield Path(one.launch.folder).parent / name
    for state in (Path(settings().state_dir), Path(settings().store) / "agent"):
        yield state / "agents" / one.agent / "work" / name


def _why_not(task: Task, one: Attempt) -> str:
    match task.state:
        case Held() | Queued() | Claimed() | Running():
            return f"it is {task.name_of_state}"
        case Ended(outcome=outcome):
            if outcome.value in ("completed", "aborted"):
                return f"it {outcome.value}: folders are kept of what failed"
            host = one.launch.host if one.launch else f"agent {one.agent}'s machine"
            return f"it was kept for a while only, or not at all (--keep), or is on {host}"
