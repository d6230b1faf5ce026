"""Whether a Python is the one that was asked for."""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet

PLAIN_VERSION = re.compile(r"(\d+)(\.\d+){0,2}")


def python_request(wish: str | None, required: str | None) -> str | None:
    """One request that grants both what is wished ("3.12") and what is required (">=3.11").

    A wish that is no plain version or specifier ("pypy3.10", a path) stands alone.
    """
    if not wish or wish == required:
        return required
    if not required:
        return wish
    if PLAIN_VERSION.fullmatch(wish):
        return f"{_specifier(wish)},{required}"
    return f"{wish},{required}" if wish[0] in "<>=!~" else wish


def is_granted(version: str, request: str) -> bool | None:
    """Whether the Python `version` is what `request` means; None if that cannot be compared."""
    try:
        asked = SpecifierSet(_specifier(request))
    except InvalidSpecifier:
        return None
    return asked.contains(version, prereleases=True)


def _specifier(request: str) -> str:
    if not PLAIN_VERSION.fullmatch(request):
        return request
    return f"=={request}" if request.count(".") == 2 else f"=={request}.*"
