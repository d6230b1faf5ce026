"""Is a session inside of a task: `python -m evq_session jupyter PORT IDLE`, or `terminal …`. The
PORT 0 is one that its agent finds free.

It stands alone, as `evq_session.py`, beside the task's `evq.py` and other files of that kind, and
uses the standard library only. JupyterLab runs with the Python in the folder EVQ_TOOLS; its kernel
is the task's own Python with the task's own packages, so that a session changes nothing of them.

After IDLE seconds in which nothing was done (0: never) it ends well, and says so. However it ends,
the files that were changed are saved as the artifact `changes`.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

TOKEN = "EVQ_PORT_TOKEN"
TOOLS = "EVQ_TOOLS"

CHANGES = "changes"
MOST_CHANGES = 512 * 2**20
"""Bytes of changed files that are saved at the end; larger ones go first, and are named."""

LEFT_OUT = {".git", "__pycache__", ".ipynb_checkpoints", ".venv", "node_modules"}

LONGEST_TICK = 15.0
"""Seconds between two looks whether somebody does something."""

NOBODY = "-1"
"""The foreground of a terminal that was hung up."""

ASK_SECONDS = 10.0
END_SECONDS = 5.0
"""How long Jupyter may take to end."""


def main() -> None:
    """Serve until it is idle, or told to end."""
    kind, port, idle = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    signal.signal(signal.SIGTERM, _told_to_end)
    top = Path.cwd()
    before = _files(top)
    try:
        why = _jupyter(port, idle, top) if kind == "jupyter" else _terminals(port, idle)
    finally:
        _save_changes(top, before)
    print(f"the session ends: {why}", flush=True)
    import_module("evq").output(ended=why)


def _told_to_end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _terminals(port: int, idle: float) -> str:
    with _listener(port) as listener:
        import_module("evq_terminal").serve(listener, idle, os.environ.pop(TOKEN))
    return idle_words(idle)


def _listener(port: int) -> socket.socket:
    """A socket at the port; at the next free one as long as somebody was quicker."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", port or _free_port()))
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise


def _free_port() -> int:
    # Not by `evq`: an older one may be installed in the task's environment.
    return int(import_module("evq_carrying").ask({"port": True})["port"])


def idle_words(seconds: float) -> str:
    """Why a session has ended that nobody used."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"idle for {seconds / size:g} {unit}"
    return f"idle for {seconds:g} s"


# --- Jupyter --------------------------------------------------------------------------------------


def _jupyter(port: int, idle: float, top: Path) -> str:
    token = os.environ.pop(TOKEN)
    with tempfile.TemporaryDirectory(prefix="evq-session-") as name:
        folder = Path(name)
        _describe_kernel(folder)
        _settle(folder)
        variables = {**os.environ, **_variables(folder, token)}
        while True:
            chosen = port or _free_port()
            process = subprocess.Popen(_argv(chosen), env=variables)
            try:
                return _watch(process, Jupyter(chosen, token), top, idle)
            except _Failed as failed:
                if port or not _is_taken(chosen):
                    sys.exit(failed.code)
                # Jupyter takes seconds to start, and somebody was quicker: once more with another.
            finally:
                _end(process)


class _Failed(Exception):
    """Jupyter ended with an exit status other than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _is_taken(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _argv(port: int) -> list[str]:
    return [
        os.path.join(os.environ[TOOLS], "bin", "python"),
        *("-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--LabApp.extension_manager=readonly", "--ServerApp.log_level=WARN"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _variables(folder: Path, token: str) -> dict[str, str]:
    """What keeps Jupyter to the task: nothing that the worker's user has set up has a say."""
    return {
        "JUPYTER_TOKEN": token,
        "JUPYTER_PATH": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }


def _describe_kernel(folder: Path) -> None:
    """The task's Python as the kernel, in the place of Jupyter's own."""
    version = ".".join(map(str, sys.version_info[:2]))
    spec = {
        "argv": [
            sys.executable,
            import_module("evq_notebook").__file__,
            "--kernel",
            "-f",
            "{connection_file}",
        ],
        "language": "python",
        "display_name": f"Python {version} of the task",
    }
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec))


def _settle(folder: Path) -> None:
    """Ask nobody who opens a session whether he wants to read news."""
    place = folder / "config" / "labconfig"
    place.mkdir(parents=True)
    news = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
    (place / "default_setting_overrides.json").write_text(json.dumps(news))


def _watch(process: subprocess.Popen[bytes], jupyter: Jupyter, top: Path, idle: float) -> str:
    """Return when Jupyter was shut down, or has not been used for `idle` seconds; why. Raises
    `_Failed`."""
    tick = min(LONGEST_TICK, max(0.2, idle / 10)) if idle else None
    active = time.monotonic()
    while True:
        try:
            code = process.wait(tick)
        except subprocess.TimeoutExpired:
            if jupyter.is_used() or runs_in_terminal(process.pid):
                active = time.monotonic()
            elif time.monotonic() - active > idle:
                # Whoever writes without running anything saves now and then.
                unchanged = time.time() - _newest(top)
                if unchanged > idle:
                    return idle_words(idle)
                active = time.monotonic() - max(unchanged, 0.0)
            continue
        if code:
            raise _Failed(code)
        return "Jupyter was shut down"


class Jupyter:
    """What its server says of kernels and terminals."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._last: list[Any] | None = None

    def is_used(self) -> bool:
        """Whether something is computed now, or was done since the last call."""
        try:
            kernels, terminals = self._ask("kernels"), self._ask("terminals")
        except (OSError, ValueError, http.client.HTTPException):
            return self._last is None  # it is starting
        signs = sorted((one["id"], one["last_activity"]) for one in kernels)
        signs += sorted((one["name"], one["last_activity"]) for one in terminals)
        before, self._last = self._last, signs
        return signs != before or any(one["execution_state"] == "busy" for one in kernels)

    def _ask(self, what: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ASK_SECONDS)
        try:
            path = f"/api/{what}?no_track_activity=1"
            connection.request("GET", path, headers={"Authorization": f"token {self._token}"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def runs_in_terminal(parent: int) -> bool:
    """Whether a program runs in the foreground of a terminal whose shell is a child of `parent`,
    and not the shell alone, at its prompt."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", pid, "stat").read_bytes()
        except OSError:
            continue  # it has ended
        # The name before these may hold anything, also blanks and parentheses.
        _, above, group, session, terminal, foreground = map(
            bytes.decode, stat.rpartition(b")")[2].split()[:6]
        )
        is_shell = int(above) == parent and session == pid and terminal != "0"
        if is_shell and foreground not in (group, NOBODY):
            return True
    return False


# --- what was changed -----------------------------------------------------------------------------


def _files(top: Path) -> dict[str, tuple[int, int]]:
    """The files below a folder: when each was changed, and its size."""
    found: dict[str, tuple[int, int]] = {}
    for place, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            path = os.path.join(place, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if not os.path.islink(path):
                found[os.path.relpath(path, top)] = (status.st_mtime_ns, status.st_size)
    return found


def _newest(top: Path) -> float:
    """When a file below the folder was changed last, in seconds since 1970."""
    return max((at for at, _ in _files(top).values()), default=0) / 1e9


def _save_changes(top: Path, before: dict[str, tuple[int, int]]) -> None:
    changed = {
        name: size for name, (at, size) in _files(top).items() if before.get(name) != (at, size)
    }
    with tempfile.TemporaryDirectory(prefix="evq-changes-") as folder:
        room, kept = MOST_CHANGES, 0
        for name in sorted(changed, key=lambda name: changed[name]):
            room -= changed[name]
            if room < 0:
                print(f"not saved, for it is too large: {name}", flush=True)
                continue
            target = Path(folder) / CHANGES / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(str(top / name), str(target))
                kept += 1
            except OSError as error:
                print(f"not saved: {name}: {error}", flush=True)
        if kept:
            import_module("evq").save(str(Path(folder) / CHANGES), CHANGES)
            print(f"{kept} changed files are saved as the artifact {CHANGES}", flush=True)


if __name__ == "__main__":
    main()
