"""A run on this machine alone, one step after the other, without a server: to debug.

Each step is a process of this terminal in the folder of the pipeline's file, by the Python that the
shell finds, so that a breakpoint stops there and code is what lies on the disk right now.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ...core import parameters
from ...core.errors import SpawnFailed, UsageError
from ...core.journal import Noted
from ...core.sdk.installing import install_sdk
from ...core.spec import Command, Inline, Module, Notebook, Script, Spec
from .decide import aborting, decide
from .facts import Created, End, Fact, Plan, Planned, Result, Settled
from .run import Run, evolve
from .tasks import plan_of

Tell = Callable[[str, str], None]
"""What happens to a part, in a few words."""

_LINE = msgspec.json.Decoder()


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
            sdk = install_sdk(Path(scratch) / "sdk")
            while not self._now.ended:
                self._step(sdk, Path(scratch) / "said.sock")
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

    def _step(self, sdk: Path, where: Path) -> None:
        todo = decide(self._now)
        if todo.ended:
            self._write(todo.ended)
        elif todo.over:
            for result in todo.over:
                self._tell(result.part, f"{result.outcome}: {result.evidence}")
            self._write(Settled(todo.over))
        else:
            # One at a time: a failure may change what is ready.
            self._write(Settled((self._attempt(todo.ready[0], sdk, where),)))

    def _attempt(self, part: str, sdk: Path, where: Path) -> Result:
        try:
            plan, spec = plan_of(self._now, part)
        except UsageError as error:
            self._tell(part, f"failed: {error}")
            return Result(part=part, outcome="failed", evidence=str(error))
        self._write(Planned((Plan(part, plan.task),)))
        self._tell(part, "begins")
        for tries in range(spec.retries + 1):
            result = self._once(part, plan, spec, sdk, where)
            if result.outcome == "completed" or tries == spec.retries:
                break
            self._tell(part, f"{result.outcome}: {result.evidence}; once more")
        self._tell(part, f"{result.outcome}{f': {result.evidence}' * bool(result.evidence)}")
        return result

    def _once(self, part: str, plan: Plan, spec: Spec, sdk: Path, where: Path) -> Result:
        with Listener(where) as listener:
            try:
                code = _run(spec, plan.task, self._folder, sdk, where)
            except subprocess.TimeoutExpired:
                return Result(part=part, outcome="timed_out", task=plan.task)
        outcome: End = "failed" if code else "completed"
        return Result(
            part=part,
            outcome=outcome,
            task=plan.task,
            outputs=listener.outputs,
            metrics=listener.metrics,
            evidence=f"it ended with {code}" if code else "",
        )


def why_it_ended(run: Run) -> str:
    """Why a run ended as it did; empty if it completed."""
    return aborting(run) or (run.ended.evidence if run.ended else "")


def _run(spec: Spec, task: str, folder: Path, sdk: Path, where: Path) -> int:
    path = os.pathsep.join(filter(None, [str(sdk), os.environ.get("PYTHONPATH")]))
    given = msgspec.json.encode(parameters.values(spec)).decode()
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "EVQ_TASK_ID": task,
        "EVQ_SOCKET": str(where),
        "EVQ_PARAMS": given,
        **spec.variables,
    }
    argv = _argv(spec)
    try:
        done = subprocess.run(argv, cwd=folder, env=environment, timeout=spec.timeout, check=False)
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


class Listener:
    """Hears what a step says by `import evq`."""

    def __init__(self, where: Path) -> None:
        self.outputs: dict[str, Any] = {}
        self.metrics: dict[str, float | str] = {}
        self._where, self._last = where, f"{where}.last"
        where.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(where))
        self._socket.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Listener:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Who connected stands in a line: once it has come to us, all of them are being heard.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.bind(self._last)
            last.connect(str(self._where))
            for thread in self._threads:
                thread.join()
        self._socket.close()
        Path(self._last).unlink()

    def _accept(self) -> None:
        while True:
            speaker, address = self._socket.accept()
            if address == self._last:
                speaker.close()
                return
            hearing = threading.Thread(target=self._hear, args=(speaker,), daemon=True)
            self._threads.append(hearing)
            hearing.start()

    def _hear(self, speaker: socket.socket) -> None:
        with speaker, speaker.makefile("rb") as lines:
            for line in lines:
                with suppress(msgspec.DecodeError):
                    words = _LINE.decode(line)
                    self.outputs |= words.get("outputs") or {}
                    self.metrics |= words.get("metrics") or {}
