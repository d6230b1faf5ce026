"""How a failure looks: what, why, what to do; for people, or as JSON for programs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence

import click

from ..core.errors import EvqError, UsageError, report
from .options import THIS_RUN

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports for a program that was ended by SIGPIPE."""


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for JSON, as far as one can tell before it is understood."""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in before


def from_click(error: click.ClickException) -> EvqError:
    """What Click found wrong with the command line, in our words."""
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx else "evq"
    what = error.format_message().rstrip(".")
    what = what[:1].lower() + what[1:]
    usage = " ".join(ctx.command.collect_usage_pieces(ctx)) if ctx else ""
    return UsageError(what, why=f"usage: {path} {usage}" if usage else "", fix=f"{path} --help")


def unforeseen(error: Exception) -> EvqError:
    """An exception that nobody foresaw: what the machine refused, such as a full disk, or a bug."""
    if isinstance(error, OSError) and error.errno:
        where = f"{error.filename}: " if error.filename else ""
        return EvqError(
            f"this machine refuses what evq needs: {where}{error.strerror}",
            fix="mend that and run it again; --debug prints where it was",
        )
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({os.path.basename(last[0].filename)}:{last[0].lineno})" if last else ""
    return EvqError(
        f"evq has a bug: {type(error).__name__}: {error}",
        why=f"nothing in evq expects this here{where}",
        fix="run it again with --debug, and report what it prints",
    )


def show(error: EvqError, *, as_json: bool) -> None:
    """Write `error` to stderr."""
    if as_json:
        said = {"code": error.code, "what": error.what, "why": error.why, "fix": error.fix}
        print(json.dumps({"error": said}, ensure_ascii=False), file=sys.stderr)
        return
    click.echo(report(error, _marked), err=True, color=THIS_RUN.colors)


def _marked(sign: str) -> str:
    if sign == "fix:":
        return click.style(sign, fg="green")
    return click.style(sign, fg="red", bold=True)


def silence() -> None:
    """Nobody reads our output any more: keep Python from complaining of that at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
