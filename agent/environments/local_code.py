"""Whether a requirement is code on the disk instead of a package of an index."""

from __future__ import annotations

import re

_LOCAL = re.compile(
    r"""(-e|--editable)\b          # a folder to build in place
    | (-f|--find-links)(?!.*://)   # a folder of wheels
    | [./~] | file: | \$\{         # a path
    | \S*\s*@\s*(file:|[./~]|\$\{) # a name and a path
    | [^\s@:;]+/                   # a relative path
    | [^\s@:;]+\.(whl|zip|tar\.gz)\b
    """,
    re.VERBOSE,
)


def names_local_code(requirement: str) -> bool:
    """Whether one requirement is a file or folder instead of a package of an index."""
    return _LOCAL.match(requirement) is not None
