"""Files that people write, as text."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ..errors import UsageError


def read_text(path: str | Path, what: str = "") -> str:
    """The text of a file in UTF-8. Raises `UsageError`, which says `what` it is, if it is told."""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{what} {path} cannot be read".lstrip(),
            why=getattr(error, "strerror", None) or "it is not UTF-8 text",
            fix=f"ls -l {path}",
        ) from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables in a TOML file; `where` names it. Raises `UsageError`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML", why=str(error), fix=f"correct {where}") from error
