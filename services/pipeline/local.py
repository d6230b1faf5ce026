"""A run on this machine alone, one step after the other, without a server: to debug.

Each step is a process of this terminal in the folder of the pipeline's file, by the Python that the
shell finds, so that a breakpoint stops there and code is what lies on the disk right now.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...core import parameters
from ...core.errors import SpawnFailed, UsageError
from ...core.journal import Noted
from ...core.sdk.installing import install_sdk
from ...core.spec import Command, Inline, Module, Notebook, Script, Spec
from .decide import decide
from .facts import Created, End, Fact, Plan, Planned, Result, Settled
from .listening import Listener, Shelf
from .run import Run, evolve
from .tasks import plan_of

Tell = Callable[[str, str], None]
"""What happens to a part, in a few words."""


class Here(msgspec.Struct, frozen=True):
    """Where the steps run: their folder, the one that makes `import evq` work, the socket on which
    they speak, and what they save."""

    folder: Path
    sdk: Path
    socket: Path
    shelf: Shelf


class Local:
    """One run in this process; its journal is forgotten with it."""

    def __init__(self, created: Created, folder: Path, tell: Tell) -> None:
        self._folder = folder
        self._tell = tell
        self._run: Run | None = None
        self._seq = 0
        self._write(created)

    def run(self) -> Run:
        """Carry it through to its end. Raises `SpawnFailed` if a command is not there."""
        with tempfile.TemporaryDirectory(prefix="evq-local-") as scratch:
            sdk, shelf = install_sdk(Path(scratch) / "sdk"), Shelf(Path(scratch) / "artifacts")
            here = Here(self._folder, sdk, Path(scratch) / "said.sock", shelf)
            while not self._now.ended:
                self._step(here)
        return self._now

    @property
    def _now(self) -> Run:
        assert self._run is not None
        return self._run

    def _write(self, fact: Fact) -> None:
        self._seq += 1
        at = time.time_ns() // 1000
        name = self._run.name if self._run else "local"
        self._run = evolve(self._run, name, Noted(self._seq, at, "", "", fact))

    def _step(self, here: Here) -> None:
        todo = decide(self._now)
        if todo.ended:
            self._write(todo.ended)
        elif todo.over:
            for result in todo.over:
                self._tell(result.part, f"{result.outcome}: {result.evidence}")
            self._write(Settled(todo.over))
        else:
            # One at a time: a failure may change what is ready.
            self._write(Settled((self._attempt(todo.ready[0], here),)))

    def _attempt(self, part: str, here: Here) -> Result:
        try:
            plan, spec = plan_of(self._now, part)
            _check(spec)
        except UsageError as error:
            self._tell(part, f"failed: {error}")
            return Result(part=part, outcome="failed", evidence=str(error))
        self._write(Planned((Plan(part, plan.task),)))
        self._tell(part, "begins")
        for tries in range(spec.retries + 1):
            result = self._once(part, plan, spec, here)
            if result.outcome == "completed" or tries == spec.retries:
                break
            self._tell(part, f"{result.outcome}: {result.evidence}; once more")
        self._tell(part, f"{result.outcome}{f': {result.evidence}' * bool(result.evidence)}")
        return result

    def _once(self, part: str, plan: Plan, spec: Spec, here: Here) -> Result:
        with Listener(here.socket, plan.task, here.shelf) as listener:
            try:
                code = _run(spec, plan.task, here)
            except subprocess.TimeoutExpired:
                return Result(part=part, outcome="timed_out", task=plan.task)
        outcome: End = "failed" if code else "completed"
        return Result(
            part=part,
            outcome=outcome,
            task=plan.task,
            outputs=listener.outputs,
            metrics=listener.metrics,
            artifacts=tuple(here.shelf.names(plan.task)),
            evidence=f"it ended with {code}" if code else "",
        )


def _check(spec: Spec) -> None:
    if spec.repo:
        raise UsageError(
            f"the code of {spec.repo.url} is not fetched with --local",
            why="steps run in the folder of the pipeline, with the code that lies there",
            fix="without --local",
        )
    if spec.inputs:
        raise UsageError(
            "inputs cannot be put in place with --local",
            why="the folder is your own, and they might replace what lies there",
            fix="evq.load('TASK:NAME', to=FOLDER) in the step",
        )


def _run(spec: Spec, task: str, here: Here) -> int:
    path = os.pathsep.join(filter(None, [str(here.sdk), os.environ.get("PYTHONPATH")]))
    given = msgspec.json.encode(parameters.values(spec)).decode()
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "EVQ_TASK_ID": task,
        "EVQ_SOCKET": str(here.socket),
        "EVQ_PARAMS": given,
        **spec.variables,
    }
    argv = _argv(spec)
    try:
        done = subprocess.run(
            argv, cwd=here.folder, env=environment, timeout=spec.timeout, check=False
        )
    except OSError as error:
        raise SpawnFailed(
            f"{argv[0]} cannot be started", why=error.strerror or str(error), fix=f"which {argv[0]}"
        ) from error
    return done.returncode


def _argv(spec: Spec) -> list[str]:
    python = shutil.which("python") or sys.executable
    match spec.entry:
        case Command(argv):
            return list(argv)
        case Script(path, args) if path.endswith(".sh"):
            return ["bash", path, *args]
        case Script(path, args):
            return [python, path, *args]
        case Module(name, args):
            return [python, "-m", name, *args]
        case Inline(text, args):
            return [python, "-c", text, *args]
        case Notebook(path):
            return [python, "-m", "evq_notebook", path]
