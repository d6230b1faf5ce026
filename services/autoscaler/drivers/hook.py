"""Machines that commands of your own have: any cloud, Slurm, a rack with a power switch.

    [kinds.big.place]
    launch = "./have.sh"       # prints what the machine is called there; exit 75 if there is none
    list = "./list.sh"         # prints MACHINE REF KIND [alive|preempted|dead], a line for each
    end = "./end.sh"

Each gets EVQ_AUTOSCALER, and for one machine EVQ_MACHINE, EVQ_MACHINE_KIND, EVQ_MACHINE_REF and
EVQ_AGENT (the command line of its agent), beside the variables by which an agent finds the server.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from typing import get_args

from ....core.errors import EvqError
from ..definition import Kind
from ..planning import Condition, Shown
from . import Access, Refusal, agent_words, needed, quiet_environment

SECONDS = 300.0
NONE_NOW = os.EX_TEMPFAIL


class HookDriver:
    """Commands; see `Driver`. All kinds that have hooks share those of the first for listing."""

    def __init__(self, autoscaler: str, access: Access, kind: Kind) -> None:
        self._autoscaler = autoscaler
        self._access = access
        self._kind = kind

    async def machines(self) -> dict[str, Shown]:
        text = await self._run(needed(self._kind, "list", "the command that lists machines"), {})
        return dict(_line(line) for line in text.splitlines() if line.strip())

    async def launch(self, machine: str, name: str, kind: Kind) -> str:
        command = needed(kind, "launch", "the command that has a machine")
        agent = shlex.join(["evq", *agent_words(machine, kind)])
        told = {"EVQ_MACHINE": machine, "EVQ_MACHINE_KIND": name, "EVQ_AGENT": agent}
        return (await self._run(command, told)).strip() or machine

    async def end(self, machine: str, ref: str) -> None:
        command = needed(self._kind, "end", "the command that ends a machine")
        await self._run(command, {"EVQ_MACHINE": machine, "EVQ_MACHINE_REF": ref})

    async def _run(self, command: str, told: dict[str, str]) -> str:
        environment = {
            **quiet_environment(),
            **self._access.variables,
            **told,
            "EVQ_AUTOSCALER": self._autoscaler,
        }
        process = await asyncio.create_subprocess_shell(
            command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            raise EvqError(f"{command} did not end", why=f"it had {SECONDS:.0f} s") from None
        said = err.decode(errors="replace").strip()
        if process.returncode == NONE_NOW:
            raise Refusal(said or f"{command} has no machine")
        if process.returncode:
            raise EvqError(f"{command} ended with {process.returncode}", why=said[-500:])
        return out.decode(errors="replace")


def _line(line: str) -> tuple[str, Shown]:
    """What a line says of a machine."""
    match line.split():
        case [machine, ref, kind]:
            return machine, Shown(ref, kind)
        case [machine, ref, kind, condition] if condition in get_args(Condition):
            return machine, Shown(ref, kind, condition)  # type: ignore[arg-type]
        case _:
            raise EvqError(
                f"the list of machines has a line that cannot be read: {line!r}",
                why="a line is MACHINE REF KIND, and alive, preempted or dead",
            )
