"""What a task can say while it runs: metrics, progress, files; and the parameters it was given.

    import evq

    for step in range(100):
        evq.log({"loss": loss}, step=step)
        evq.progress(step + 1, 100)
    evq.save("model.pt")

This file is all that `import evq` brings into a task whose environment knows nothing of evq: the
agent puts it on the task's path. So it uses the standard library only, runs on any Python 3 a
task may ask for, and says nothing outside a task. Any other language can write the same
lines of JSON to the Unix socket named by `EVQ_SOCKET`:

    {"metrics": {"loss": 0.1}, "step": 3}
    {"progress": {"done": 3, "total": 100, "text": "epoch 1"}}
    {"outputs": {"best": 0.97, "classes": ["cat", "dog"]}}

`carrying.py` tells how files go there, and what else can be asked for.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

_Number = TypeVar("_Number", int, float)

_MOST_OUTPUT = 32 * 1024  # bytes of JSON
_PATIENCE = 5.0  # seconds that a stalled agent may hold the task up before lines are dropped


class _Channel:
    """The way to the agent; opened at the first word, closed for good when it breaks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pid = 0
        self._dead = False

    def say(self, words: dict[str, Any]) -> None:
        path = os.environ.get("EVQ_SOCKET")
        if not path:
            return
        words["at"] = time.time_ns() // 1000
        line = json.dumps(words, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._pid != os.getpid():
                # A forked worker must not write into the middle of its parent's lines.
                self._socket, self._pid, self._dead = None, os.getpid(), False
            if self._dead:
                return
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                    self._socket.settimeout(_PATIENCE)
                    self._socket.connect(path)
                self._socket.sendall(line)
            except OSError:
                # A part of a line may be out: nothing after it could be read.
                self._dead = True
                if self._socket is not None:
                    self._socket.close()


_channel = _Channel()


def log(metrics: Mapping[str, Any], step: int | None = None) -> None:
    """Record numbers by name, such as `{"loss": 0.1}`, at a step (an integer) if there is one.

    Values are anything that `float()` takes, so also numpy scalars and one-element tensors.
    Raises TypeError or ValueError for a value that is no number.
    """
    values = {str(name): float(value) for name, value in metrics.items()}
    words: dict[str, Any] = {"metrics": {name: _plain(value) for name, value in values.items()}}
    if step is not None:
        words["step"] = int(step)
    _channel.say(words)


def progress(done: float, total: float | None = None, text: str = "") -> None:
    """Say how far the task is: `done` of `total`, in any unit."""
    words: dict[str, Any] = {"done": float(done), "text": str(text)}
    if total is not None:
        words["total"] = float(total)
    _channel.say({"progress": words})


def save(path: str | os.PathLike[str], name: str | None = None) -> str:
    """Keep a file or a folder as an artifact of this task, and return its name there.

    When this returns, it is stored and everybody can have it: `evq get`, `evq.load`. Without a
    `name` it is called by its path. Outside a task nothing is kept. Raises FileNotFoundError, or
    RuntimeError if the agent refuses it.
    """
    carrying, path = _carrying(), os.fspath(path)
    name = name or carrying.name_of(path)
    if not os.path.exists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if os.environ.get("EVQ_SOCKET"):
        carrying.save(path, name)
    return name


def load(
    task: str,
    name: str | None = None,
    to: str | os.PathLike[str] = ".",
    attempt: int | None = None,
) -> Path:
    """Put an artifact of a task into the folder `to`, and return its path there.

    `task` is an id or the beginning of one, or `@` for the task that asks: that is how a retry
    finds what the attempt before it has saved. Without a `name` it is both, `TASK:NAME`, as a
    pipeline gives it. Without an `attempt` it is what was saved last. Raises FileNotFoundError if
    there is no such artifact, or RuntimeError.
    """
    if name is None:
        task, _, name = task.partition(":")
    target = Path(to) / name
    if os.environ.get("EVQ_SOCKET"):
        _carrying().load({"task": task, "name": name, "attempt": attempt}, str(target))
        return target
    # Only where all of evq is installed.
    from ..errors import EvqError, NotFound, report
    from .blocking import connect_blocking

    try:
        with connect_blocking() as client:
            return client.load(task, name, to, attempt)
    except EvqError as error:
        kind = FileNotFoundError if isinstance(error, NotFound) else RuntimeError
        raise kind(report(error)) from error


def port() -> int:
    """A port of this machine on which nobody listens, for a task that was enqueued with `--port 0`.

    `evq tunnel` leads to it, and the program listens on it, on `127.0.0.1` or all addresses. Should
    somebody else have taken it meanwhile, ask again: tunnels lead to the last one. Raises
    RuntimeError if the task has declared none; outside a task it is just a port that is free.
    """
    if os.environ.get("EVQ_SOCKET"):
        return int(_carrying().ask({"port": True})["port"])
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _carrying() -> Any:
    """The file beside this one; a task that carries nothing does not wait for its imports."""
    if __package__:
        from . import carrying
    else:
        import evq_carrying as carrying  # type: ignore[no-redef]
    return carrying


def output(**values: Any) -> None:
    """Give values out by name, for whoever comes after: a step of a pipeline, or a program.

    A value is anything that JSON can hold; of two with one name the later counts. They become part
    of the event of the task's end. Raises TypeError or ValueError for a value that JSON cannot
    hold, and ValueError for more than 32 KiB at once: what is bigger belongs into a file.
    """
    size = len(json.dumps(values, allow_nan=False))
    if size > _MOST_OUTPUT:
        raise ValueError(f"outputs of {size // 1024} KiB are too big: 32 KiB at once is the most")
    _channel.say({"outputs": values})


def _plain(value: float) -> float | str:
    """JSON has no NaN and no infinity; they travel as words."""
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return value


class _Params(dict):  # type: ignore[type-arg]
    """The parameters of the task, by name, as what they read as: `0.1`, `3`, `True`, `[1, 2]`.

    They come from the command line (`--learning-rate 0.1` is `learning_rate`) and from `--set`.
    """

    def __missing__(self, name: str) -> Any:
        other = str(name).replace("-", "_")
        if other != name and other in self:
            return self[other]
        raise KeyError(name)

    def number(self, name: str, default: _Number) -> _Number:
        """The parameter as the type of `default` (int or float), or `default` if not given."""
        return type(default)(self[name]) if name in self else default


def _read_params() -> _Params:
    try:
        return _Params(json.loads(os.environ.get("EVQ_PARAMS", "{}")))
    except ValueError:
        return _Params()


params = _read_params()


def _step_aside() -> None:
    """Make room for an evq that is installed in the task's own environment.

    The folder of this file stands first on the task's path, and would hide the real package
    from tasks that use evq's Python interface themselves.
    """
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    path = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    # Every finder, because an editable installation brings one of its own.
    found = (finder.find_spec("evq", path) for finder in sys.meta_path)
    spec = next((spec for spec in found if spec is not None), None)
    if spec is None or spec.loader is None:
        return
    module = sys.modules["evq"]
    module.__spec__ = spec
    module.__file__ = spec.origin
    module.__path__ = spec.submodule_search_locations or []
    spec.loader.exec_module(module)


def __getattr__(name: str) -> Any:
    """The words of a pipeline's file, which most tasks have no need of."""
    if name in ("each", "pipeline", "step"):
        import evq_steps  # it lies beside this file

        return getattr(evq_steps, name)
    raise AttributeError(
        f"evq.{name} is not known in this task's environment: it holds what tasks say and no more. "
        "Add the package evq to its requirements, or enqueue it with --env agent"
    )


if __name__ == "evq":
    _step_aside()
