"""Processes: starting one, finding, stopping and killing all below one. Standard library only.

Nothing here keeps a state. `supervisor` decides when what is done.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NoReturn

from .cgroup import enter

TO_DEFAULT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""A command must not inherit what its supervisor ignores."""

HALT_ROUNDS = 100

HAS_CHILDREN_FILE = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
"""Whether the kernel lists children (CONFIG_PROC_CHILDREN); nearly all do."""

# --- starting ---------------------------------------------------------------------------------


def find(name: str, path: str) -> str:
    """The file that a command name means. Raises `FileNotFoundError`."""
    if "/" in name:
        return name
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(errno.ENOENT, name)


def spawn(argv: list[str], env: dict[str, str], out: int, err: int) -> int:
    """Start a command in a session of its own, with nothing inherited but the working folder.

    Raises `OSError`, and `ValueError` for what no command line can hold.
    """
    return os.posix_spawn(
        find(argv[0], env.get("PATH", os.defpath)),
        argv,
        env,
        file_actions=(
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, err, 2),
        ),
        setsid=True,
        setsigmask=(),
        setsigdef=TO_DEFAULT,
    )


class NotEntered(OSError):
    """The command's process could not enter its cgroups."""


def spawn_inside(
    cgroups: Sequence[str], argv: list[str], env: dict[str, str], out: int, err: int
) -> int:
    """`spawn`, with the command in these cgroups before its first instruction.

    posix_spawn cannot do that, and a process that is moved after its start may have forked.
    Raises what `spawn` does, and `NotEntered`.
    """
    program = find(argv[0], env.get("PATH", os.defpath))
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(cgroups, program, argv, env, out, err, writer)
    os.close(writer)
    with open(reader, "rb", 0) as pipe:
        told = pipe.read()
    if not told:
        return pid
    os.waitpid(pid, 0)
    kind, number = told.split()
    raise (NotEntered if kind == b"cgroup" else OSError)(int(number), os.strerror(int(number)))


def _become(
    cgroups: Sequence[str],
    program: str,
    argv: list[str],
    env: dict[str, str],
    out: int,
    err: int,
    writer: int,
) -> NoReturn:
    """Be the command; if that fails, tell why and end."""
    stage = b"cgroup"
    try:
        enter(cgroups)
        stage = b"command"
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        for ours, theirs in ((null, 0), (out, 1), (err, 2)):
            os.dup2(ours, theirs)
        for number in TO_DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(program, argv, env)
    except OSError as error:
        os.write(writer, stage + b" %d" % (error.errno or errno.EINVAL))
    except ValueError:
        os.write(writer, b"command %d" % errno.EINVAL)
    finally:
        os._exit(127)


# --- finding ----------------------------------------------------------------------------------


def every_process() -> Iterator[tuple[int, list[bytes]]]:
    """Each pid with its /proc/PID/stat from the state on: state, parent, group, session, …"""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb", 0) as file:
                # The name in parentheses may hold anything, also spaces and parentheses.
                yield int(name), file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue


def children(pid: int) -> list[int]:
    """The children of a process; of one that is gone, none."""
    if not HAS_CHILDREN_FILE:
        return [child for child, stat in every_process() if int(stat[1]) == pid]
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", 0) as file:
                found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(root: int, besides: Collection[int] = ()) -> Iterator[int]:
    """All processes below `root`, parents first, without `besides` and what is below those.

    A process comes out before it is asked for its children: whoever stops it at once misses none.
    """
    found = [root]
    # The list grows while it is read.
    for pid in found:
        for child in children(pid):
            if child not in besides:
                yield child
                found.append(child)


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    number = str(leader).encode()
    return [pid for pid, stat in every_process() if stat[3] == number and stat[0] not in b"ZX"]


# --- signals ----------------------------------------------------------------------------------


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send a signal to processes; those gone or another user's are passed over."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def halt(
    root: int, bury: Callable[[], object], besides: Collection[int] = ()
) -> tuple[list[int], bool]:
    """Stop (SIGSTOP) all processes below `root`; returns them, parents first, and whether these
    are all: a tree that forks and dies all the time may escape for a while.

    A process with a signal pending cannot fork, so that rounds come to find nobody new. The
    kernel's list of children may pass over one while another one dies: hence two such rounds.
    `bury` reaps dead children: while those pile up, looking through them takes ever longer.
    """
    halted: dict[int, None] = {}
    quiet = 0
    for _ in range(HALT_ROUNDS):
        bury()
        before = len(halted)
        for pid in descendants(root, besides):
            if pid not in halted:
                signal_all((pid,), signal.SIGSTOP)
                halted[pid] = None
        quiet = quiet + 1 if len(halted) == before else 0
        if quiet == 2:
            return list(halted), True
    return list(halted), False


def resume(pids: Iterable[int]) -> None:
    """Let processes run again, children before parents, so that no shell sees a stopped job."""
    signal_all(reversed(list(pids)), signal.SIGCONT)


def terminate(root: int, bury: Callable[[], object]) -> list[int]:
    """SIGTERM for all below `root`; not for what they start in answer, such as a last save."""
    halted, _ = halt(root, bury)
    signal_all(halted, signal.SIGTERM)
    resume(halted)
    return halted


def kill(root: int, bury: Callable[[], object], besides: Collection[int] = ()) -> list[int]:
    """SIGKILL for all below `root`, halted first so that few can fork away from it."""
    halted, _ = halt(root, bury, besides)
    signal_all(halted, signal.SIGKILL)
    return halted


# --- the kernel's services --------------------------------------------------------------------

_libc = ctypes.CDLL(None)
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_QUIET = os.O_NONBLOCK | os.O_CLOEXEC


def become_subreaper(name: bytes) -> int:
    """Take a name (15 bytes at most) and all orphans below; returns what rings as children die."""
    _libc.prctl(_PR_SET_NAME, name)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reader, writer = os.pipe2(_QUIET)
    inherited = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if inherited >= 0:
        os.close(inherited)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return reader


def boot_seconds() -> float:
    """Now, on the clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Timer:
    """A descriptor that rings at a point of CLOCK_BOOTTIME.

    A timeout of poll() would stand still while the machine sleeps, and a lease does not.
    """

    def __init__(self) -> None:
        self.fd: int = _libc.timerfd_create(time.CLOCK_BOOTTIME, _QUIET)
        self._at = math.inf

    def set(self, at: float) -> None:
        """Ring at `at`, at once if that is over, never if it is infinite."""
        if at == self._at:
            return
        self._at = at
        # Zero would disarm it.
        seconds, rest = (0.0, 0.0) if at == math.inf else divmod(max(at, 0.001), 1)
        _libc.timerfd_settime(
            self.fd, 1, (ctypes.c_long * 4)(0, 0, int(seconds), int(rest * 1e9)), None
        )


def silence(fd: int) -> None:
    """Make a descriptor that rang ready to ring again."""
    try:
        os.read(fd, 4096)
    except BlockingIOError:
        return
