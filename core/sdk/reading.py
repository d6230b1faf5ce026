"""Files that people write, as text."""

from __future__ import annotations

from pathlib import Path

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
