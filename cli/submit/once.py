"""`evq repro`, `evq exec` and `evq build`: one task on this machine, in the foreground."""

from __future__ import annotations

from typing import NoReturn

import click

from ..calling import call, settings_with
from ..completion import complete_task
from ..fleet.agent import words_of
from ..options import json_option
from ..selectors import resolve
from .launch import become


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
def repro(task: str) -> None:
    """Run a task again on this machine: its code, its environment, in a fresh folder.

    It goes through the steps of an agent, but on a log of its own that is forgotten: the task,
    its attempts and its metrics stay as they are, and no agent is needed. Ends with the
    command's exit code.

    \b
    Examples:
      evq repro
      evq repro k3f9
    """
    _become_once("repro", task)


@click.command("exec")
@click.argument("task", default="@", shell_complete=complete_task)
@click.option("--grace", metavar="TIME", help="From SIGTERM to SIGKILL when ^C ends it.")
def execute(task: str, grace: str | None) -> None:
    """Run a task on this machine now, as an agent would, and show what it writes.

    A task that waits is claimed for this machine, whoever serves its queue; one that has ended
    is enqueued once more, for this machine alone. ^C gives it back. Ends with the command's
    exit code.

    \b
    Examples:
      evq exec
      evq exec k3f9
    """
    _become_once("exec", task, grace=grace)


@click.command()
@click.argument("task", default="@", shell_complete=complete_task)
@click.option("--docker", metavar="TAG", help="Make a container image of that name.")
@json_option
def build(task: str, docker: str | None, as_json: bool) -> None:
    """Make the environment of a task on this machine, or find it, and print its folder.

    It stays in the cache like one that an agent made: the task's next start on this machine is
    a warm one.

    With --docker it makes an image of a task that runs in a container: its own image with what
    was set up, the code, the environment, and the command, so that `docker run TAG` runs it.

    \b
    Examples:
      evq build
      evq build k3f9 --docker experiment:1
      $(evq build k3f9)/bin/python -c "import torch; print(torch.__version__)"
    """
    words = ["--json"] * as_json
    _become_once("build", task, *words, *(["--tag", docker] if docker else []))


def _become_once(mode: str, selector: str, *words: str, grace: str | None = None) -> NoReturn:
    """Go on as the agent's part that carries one attempt through, with an agent's settings."""
    known = settings_with(grace=grace)
    task = call(lambda client: resolve(client, selector))
    become("evq.agent.attempts.once", [mode, task, *words, *words_of(known)], known)
