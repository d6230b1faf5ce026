"""`evq config`: each setting, its value, and where it came from."""

from __future__ import annotations

import click

from ..core.sdk.settings import rows, user_file
from . import output
from .calling import configuration
from .options import json_option
from .output import Column


@click.command()
@click.argument("name", required=False)
@json_option
def config(name: str | None, as_json: bool) -> None:
    """Print each setting, its value, and where it came from; secrets are masked.

    With a NAME, print its value alone.

    \b
    Examples:
      evq config
      evq config server
    """
    from ..core.errors import NotFound

    found = rows(configuration())
    if name:
        found = [row for row in found if row[0] == name]
        if not found:
            raise NotFound(f"there is no setting {name!r}", fix="evq config")
    if as_json:
        output.say_json([{"name": n, "value": v or None, "origin": o} for n, v, o in found])
    elif name:
        output.say(found[0][1])
    else:
        columns = [Column("NAME"), Column("VALUE"), Column("ORIGIN", style=output.dim)]
        output.say_table(columns, found)
        output.note(output.dim(f"yours: {user_file()}; a project's: [tool.evq] in pyproject.toml"))
