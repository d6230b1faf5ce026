"""Agents as processes of this machine: for a big shared host, and to try an autoscaler out.

A process is known by a variable in its environment. As the task of an agent, an autoscaler's
processes end with it; `evq autoscaler run` outside of one leaves them alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import platformdirs
import psutil

from ..definition import Kind
from ..planning import Shown
from . import END_SECONDS, Access, Refusal, agent_words, quiet_environment

MARK = "EVQ_AUTOSCALER"
MACHINE = "EVQ_MACHINE"
KIND = "EVQ_MACHINE_KIND"


class LocalDriver:
    """Processes of this machine; see `Driver`."""

    def __init__(self, autoscaler: str, access: Access) -> None:
        self._autoscaler = autoscaler
        self._access = access
        self._told: dict[str, float] = {}
        """When machines were told to end, by the monotonic clock."""

    async def machines(self) -> dict[str, Shown]:
        found = await asyncio.to_thread(self._find)
        return {
            machine: Shown(str(processes[0].pid), kind)
            for machine, (kind, processes) in found.items()
        }

    async def launch(self, machine: str, name: str, kind: Kind) -> str:
        found = await asyncio.to_thread(self._find)
        if machine in found:
            return str(found[machine][1][0].pid)
        return await asyncio.to_thread(self._start, machine, name, kind)

    def _start(self, machine: str, name: str, kind: Kind) -> str:
        folder = Path(kind.place.get("folder") or platformdirs.user_state_path("evq")) / machine
        environment = {
            **quiet_environment(),
            **self._access.variables,
            "EVQ_STATE_DIR": str(folder),
            MARK: self._autoscaler,
            MACHINE: machine,
            KIND: name,
        }
        command = [sys.executable, "-m", "evq.cli.main", *agent_words(machine, kind)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "agent.log").open("ab") as log:
                process = subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        except OSError as error:
            raise Refusal(f"{machine} cannot be started: {error}") from error
        return str(process.pid)

    async def end(self, machine: str, ref: str) -> None:
        """Tell the agent to end; after a while, end all that is left of it."""
        _, processes = (await asyncio.to_thread(self._find)).get(machine, ("", []))
        told = self._told.setdefault(machine, time.monotonic())
        late = time.monotonic() - told > END_SECONDS
        for process in processes if late else processes[:1]:
            try:
                os.kill(process.pid, signal.SIGKILL if late else signal.SIGTERM)
            except ProcessLookupError:
                continue

    def _find(self) -> dict[str, tuple[str, list[psutil.Process]]]:
        """By machine, its kind and its processes, the first one first."""
        found: dict[str, tuple[str, list[psutil.Process]]] = {}
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                dead = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            machine = environment.get(MACHINE)
            if machine and not dead and environment.get(MARK) == self._autoscaler:
                found.setdefault(machine, (environment.get(KIND, ""), []))[1].append(process)
        for _, processes in found.values():
            processes.sort(key=lambda one: one.create_time())
        return found
