"""Everything that can go wrong and that a person can act on.

    EvqError                     E00  exit 1
    ├── UsageError               E01  exit 2   the request itself is wrong
    │   ├── SnapshotRefused      E10  exit 2   a file must not or cannot be sent
    │   └── SettingsError        E11  exit 2   a settings file or variable is wrong
    ├── Unreachable              E02  exit 3   no server answers
    │   ├── ServerTooOld         E20  exit 3   the server lacks what evq stands on
    │   └── ProjectorAway        E21  exit 3   nobody answers questions
    ├── NotFound                 E03  exit 4   no such task, queue, agent
    ├── Conflict                 E04  exit 5   the state forbids it
    │   ├── AlreadyUp            E22  exit 5   this store is already served
    │   └── Superseded           E23  exit 5   another attempt speaks for the service now
    ├── Denied                   E05  exit 6   the server refuses permission
    ├── CodeFailed               E30  exit 1   the code cannot be put in place
    ├── EnvironmentFailed        E31  exit 1   the environment cannot be built
    ├── SpawnFailed              E32  exit 1   the command cannot be started
    ├── SecretFailed             E33  exit 1   a secret cannot be given to the task
    ├── ContainerFailed          E34  exit 1   the container cannot be had
    ├── ArtifactFailed           E35  exit 1   an artifact cannot be saved or fetched
    ├── TunnelFailed             E36  exit 1   a port of a task cannot be reached
    ├── QueryFailed              E40  exit 1   a query is wrong, refused or over its limits
    └── ServerFull               E41  exit 1   the server has no room for another event

An error says four things: what happened, why (facts that were checked), what to do
(a command to copy), and its code. The code and the exit status never change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar


class EvqError(Exception):
    """The request could not be carried out."""

    code: ClassVar[str] = "E00"
    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what} ({self.why})" if self.why else self.what


class UsageError(EvqError):
    """The request itself is wrong: an option, a name, a value."""

    code = "E01"
    exit_code = 2


class Unreachable(EvqError):
    """No NATS server answers at the address in use."""

    code = "E02"
    exit_code = 3


class NotFound(EvqError):
    """There is no such task, queue or agent."""

    code = "E03"
    exit_code = 4


class Conflict(EvqError):
    """The present state forbids the request."""

    code = "E04"
    exit_code = 5


class Denied(EvqError):
    """The server refuses this user the permission."""

    code = "E05"
    exit_code = 6


class SnapshotRefused(UsageError):
    """A file in the work tree must not or cannot be sent with the task."""

    code = "E10"


class SettingsError(UsageError):
    """A settings file, variable or option holds a value that cannot be used."""

    code = "E11"


class ServerTooOld(Unreachable):
    """The NATS server lacks features that evq stands on."""

    code = "E20"


class ProjectorAway(Unreachable):
    """No projector answers questions."""

    code = "E21"


class AlreadyUp(Conflict):
    """This store is already served by another `evq up`."""

    code = "E22"


class Superseded(Conflict):
    """Another attempt speaks for this service now; this one must end."""

    code = "E23"


class CodeFailed(EvqError):
    """The task's code cannot be put in place on this machine."""

    code = "E30"


class EnvironmentFailed(EvqError):
    """The task's environment cannot be built."""

    code = "E31"


class SpawnFailed(EvqError):
    """The task's command cannot be started."""

    code = "E32"


class SecretFailed(EvqError):
    """A secret that the task names cannot be given to it on this agent."""

    code = "E33"


class ContainerFailed(EvqError):
    """The task's container, its image or its system packages cannot be had."""

    code = "E34"


class ArtifactFailed(EvqError):
    """An artifact cannot be saved or fetched."""

    code = "E35"


class TunnelFailed(EvqError):
    """A port of a task cannot be reached, or may not be."""

    code = "E36"


class QueryFailed(EvqError):
    """A query is wrong, refused, or went over its limits."""

    code = "E40"


class ServerFull(EvqError):
    """The server has no room for another event."""

    code = "E41"


def report(error: EvqError, mark: Callable[[str], str] = str) -> str:
    """The error as every program of evq prints it, several lines long.

    `mark` makes its two signs, `error[E..]:` and `fix:`, stand out on a terminal.
    """
    lines = [f"{mark(f'error[{error.code}]:')} {error.what}"]
    lines += [f"  {line.strip()}" for line in error.why.splitlines()]
    if error.fix:
        first, *rest = error.fix.splitlines()
        lines.append(f"{mark('fix:')} {first}")
        lines += [f"     {line.strip()}" for line in rest]
    return "\n".join(lines)
