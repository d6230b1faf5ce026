"""The header of a script: its requirements as PEP 723 has them."""

from __future__ import annotations

import re
from typing import Any

from ...core.errors import EnvironmentFailed
from .base import Recipe, Request
from .project import has_local_sources, not_reproducible, private_note, required_python
from .tree import Tree, parse_toml

_SCRIPT_BLOCK = re.compile(  # the reference expression of PEP 723
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
)


def find_script(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of the header of the entry script, or of the lock beside it."""
    if (metadata := read_header(tree, request)) is None:
        return None
    path = str(request.script)
    locked = tree.read(f"{path}.lock") is not None
    private = not locked and has_local_sources(metadata)
    return Recipe(
        manager="uv",
        kind="script-lock" if locked else "script",
        source=f"{path}.lock" if locked else f"the header of {path}",
        files=(path,),
        python=required_python(metadata, path),
        private=private,
        notes=()
        if locked
        else (*private_note(private), not_reproducible(f"uv lock --script {path}")),
    )


def read_header(tree: Tree, request: Request) -> dict[str, Any] | None:
    """What the entry script's PEP 723 block says; it alone goes into the digest."""
    path = request.script
    if path is None or not path.endswith(".py") or (content := tree.read(path)) is None:
        return None
    tree.forget(path)  # its code may change as it likes: only the block decides
    if (block := script_block(_source_text(content), path)) is None:
        return None
    tree.note("script", block.encode())
    return parse_toml(block, f"the header of {path}")


def _source_text(content: bytes) -> str:
    # A script may be in any encoding that Python knows; its header is in ASCII all the same.
    return content.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def script_block(text: str, path: str) -> str | None:
    """The TOML of the PEP 723 `script` block in `text`, or None.

    Raises `EnvironmentFailed` if there is more than one.
    """
    blocks = [found for found in _SCRIPT_BLOCK.finditer(text) if found["type"] == "script"]
    if len(blocks) > 1:
        raise EnvironmentFailed(
            f"the header of {path} cannot be read", why="it has two script blocks"
        )
    if not blocks:
        return None
    lines = blocks[0]["content"].splitlines(keepends=True)
    return "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
