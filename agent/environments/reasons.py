"""What a manager that failed said, as an error that a person can act on."""

from __future__ import annotations

import re

from ...core.addresses import masked
from ...core.errors import EnvironmentFailed
from ..attempts.command import Completed

_NO_TLS = re.compile(
    r"lib(?:ssl|crypto)\.so\S*: cannot open shared object|No module named '_ssl'"
    r"|(?i:ssl module (?:in Python )?is not available)"
)

_LONGEST = 1500
"""Characters of a reason; the whole output is in the task's log."""


def failure(completed: Completed, what: str, *, why: str, fix: str = "") -> EnvironmentFailed:
    """The error for a command that failed, without passwords.

    A full disk and a Python without TLS can befall each manager, and have words of their own.
    """
    if "No space left on device" in completed.output or "OSError: [Errno 28]" in completed.output:
        what, fix = "the disk is full", "make room where the cache of evq is"
    elif _NO_TLS.search(completed.output):
        what = "the Python that is there cannot talk to a package index"
        fix = "--env uv, which brings its own TLS, or an image with a whole Python of its own"
    if len(why) > _LONGEST:
        why = f"{why[:_LONGEST]}…"
    return EnvironmentFailed(masked(what), why=masked(why), fix=fix)


def last_line(program: str, completed: Completed) -> str:
    """What is known of a command that gave no reason in a form that is understood."""
    if completed.exit_code < 0:
        return f"{program} was ended by signal {-completed.exit_code}"
    lines = [line.strip() for line in completed.output.splitlines() if line.strip()]
    return lines[-1] if lines else f"{program} ended with exit code {completed.exit_code}"


def lines_of(completed: Completed) -> list[str]:
    """The lines of the output that say something."""
    return [line.rstrip() for line in completed.output.splitlines() if line.strip()]
