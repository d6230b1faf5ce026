"""Options that every verb takes, before or after its name, and what they were set to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..core.past import Moment, When

COMPLETE = "_EVQ_COMPLETE"
"""The variable by which a shell asks for completions."""

COLOR = click.Choice(["auto", "always", "never"])


class Family(click.Group):
    """A verb with verbs below it, which take the global options as all verbs do."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command and not any(parameter.name == "debug" for parameter in command.params):
            command.params += global_options(hidden=True)
        return command


class Global:
    """What was said about this run of evq as a whole."""

    def __init__(self) -> None:
        self.server: str | None = None
        self.context: str | None = None
        self.color: str | None = None
        self.debug = bool(os.environ.get("EVQ_DEBUG"))
        self.moment: Moment | None = None
        """What is looked back at; None is now."""

    @property
    def colors(self) -> bool | None:
        """Whether to colour; None leaves it to each stream, which may be a terminal or not."""
        return wanted_color(self.color, os.environ)


THIS_RUN = Global()
"""A process is one run of evq; errors are shown when Click's context is gone already."""


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value:
        setattr(THIS_RUN, str(param.name), value)
    ctx.color = THIS_RUN.colors


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """A fresh set of the global options; a verb's help leaves them out."""

    def option(name: str, help: str, **kind: Any) -> click.Option:
        return click.Option(
            [name],
            help=help,
            hidden=hidden,
            expose_value=False,
            is_eager=True,
            callback=_keep,
            **kind,
        )

    return [
        option("--server", "The NATS server to talk to.", metavar="URL"),
        option("--context", "The NATS context that names the server.", metavar="NAME"),
        option("--color", "Colours: auto, always or never.", type=COLOR, metavar="WHEN"),
        option("--debug", "Print a traceback with an error.", is_flag=True),
    ]


def wanted_color(wish: str | None, environ: Mapping[str, str]) -> bool | None:
    """What an option or setting and the environment say of colours; see `Global.colors`."""
    wish = wish or environ.get("EVQ_COLOR")
    if wish in ("always", "never"):
        return wish == "always"
    if wish == "auto":
        return None
    if environ.get("NO_COLOR") or environ.get("CLICOLOR") == "0":
        return False
    if environ.get("FORCE_COLOR") or environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return None


name_argument = click.argument("name")

reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why; it is kept in the log."
)

where_option = click.option(
    "--where", metavar="SQL", help="All that it makes sense for and are so in the view tasks."
)

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say which tasks it would be, and change nothing."
)


def _when(ctx: click.Context, param: click.Parameter, text: str | None) -> When | None:
    from datetime import datetime

    from ..core.past import parse_when

    return None if text is None else parse_when(text, datetime.now().astimezone())


as_of_option = click.option(
    "--as-of",
    metavar="WHEN",
    callback=_when,
    help='As it was then: "yesterday 03:10", "10m ago", \'#12345\' …',
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
