"""Which environment a task's code asks for: the first hit of a fixed order.

1. requirements named with the task            `explicit`
2. a PEP 723 block in the entry script         `script`, `script-lock` with `SCRIPT.lock` next to it
3. `uv.lock` beside a `pyproject.toml`         `lock`
4. `pylock.toml`                               `pylock`
5. `pyproject.toml` with a [project] table     `project`
6. `requirements.txt`                          `requirements`
7. nothing of these                            `bare`: a plain Python

3 to 6 are looked for in the script's folder, then in each folder above it up to the root of the
tree. Only files inside the tree are read.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import msgspec

from ...core.errors import EnvironmentFailed
from .base import Recipe, Request
from .project import (
    find_lock,
    find_project,
    has_local_sources,
    not_reproducible,
    private_note,
    read_settings,
    required_python,
)
from .requirements import names_local_code, read_requirements
from .tree import Tree, parse_toml, upward

DEFAULT_PYTHON = "3"

_SCRIPT_BLOCK = re.compile(  # the reference expression of PEP 723
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
)
_SPEC = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\s*(?:$|[\[<>=!~;@(])")
_NAMES_CODE = re.compile(r"\b(path|workspace|directory)\s*=|\bfile:")
_FILE_SUFFIXES = (".txt", ".in", ".toml", ".py", ".lock")
_PLAIN_VERSION = re.compile(r"(\d+)(\.\d+){0,2}")


def detect_recipe(root: Path, request: Request) -> Recipe:
    """The recipe by which uv makes what the code in `root` asks for."""
    tree = Tree(root)
    start = os.path.dirname(request.script) if request.script else request.folder
    recipe = (
        _explicit(tree, request)
        or _script(tree, request)
        or find_lock(tree, start)
        or _pylock(tree, start)
        or find_project(tree, start)
        or _requirements(tree, start)
        or Recipe(manager="uv", kind="bare", source="no requirements found")
    )
    read_settings(tree, recipe.folder)
    wish = request.python or _pinned_python(tree, start)
    return msgspec.structs.replace(
        recipe, python=python_request(wish, recipe.python), digest=tree.digest()
    )


def python_request(wish: str | None, required: str | None) -> str:
    """One request that grants both what is wished ("3.12") and what is required (">=3.11").

    A wish that is no plain version or specifier ("pypy3.10", a path) stands alone.
    """
    if not wish or wish == required:
        return required or DEFAULT_PYTHON
    if not required:
        return wish
    if _PLAIN_VERSION.fullmatch(wish):
        exact = wish if wish.count(".") == 2 else f"{wish}.*"
        return f"=={exact},{required}"
    return f"{wish},{required}" if wish[0] in "<>=!~" else wish


def _explicit(tree: Tree, request: Request) -> Recipe | None:
    if not request.requirements:
        return None
    files, specs, private = [], [], False
    for asked in request.requirements:
        if _is_file(tree, asked):
            private |= _leads_to_code(tree, asked)
            files.append(asked)
        else:
            private |= names_local_code(_checked_spec(asked))
            specs.append(asked)
    tree.note("--requirement", json.dumps(specs).encode())
    return Recipe(
        manager="uv",
        kind="explicit",
        source=", ".join(request.requirements),
        files=tuple(files),
        specs=tuple(specs),
        private=private,
        notes=private_note(private),
    )


def _leads_to_code(tree: Tree, path: str) -> bool:
    if path.endswith((".toml", ".py")):
        return _NAMES_CODE.search(tree.read_text(path) or "") is not None
    return read_requirements(tree, path)


def _is_file(tree: Tree, asked: str) -> bool:
    # A value that cannot be a path is not looked for: it is judged as a requirement.
    if asked.startswith("-") or not asked.isprintable():
        return False
    found = tree.find(asked)
    return found is not None and not found.is_dir()


def _checked_spec(asked: str) -> str:
    if asked.endswith(_FILE_SUFFIXES):
        raise EnvironmentFailed(
            f"{asked} is not in the task's code",
            why="it was named as the list of requirements",
            fix=f"git add {asked}",
        )
    # Nothing that starts with "-" and nothing of two lines: either could smuggle an option in.
    if _SPEC.match(asked) is None or not asked.isprintable():
        raise EnvironmentFailed(
            f"{asked!r} is not a requirement",
            why="it is neither a file of the task's code nor a name with a version",
            fix='--requirement "numpy>=2"',
        )
    return asked


def _script(tree: Tree, request: Request) -> Recipe | None:
    path = request.script
    if path is None or not path.endswith(".py") or (content := tree.read(path)) is None:
        return None
    tree.forget(path)  # its code may change as it likes: only the block decides
    if (block := script_block(_source_text(content), path)) is None:
        return None
    tree.note("script", block.encode())
    metadata = parse_toml(block, f"the header of {path}")
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


def _pylock(tree: Tree, start: str) -> Recipe | None:
    for folder in upward(start):
        path = os.path.normpath(os.path.join(folder, "pylock.toml"))
        if (lock := tree.read_toml(path)) is None:
            continue
        private = any(
            "directory" in package or "path" in package.get("archive", {})
            for package in lock.get("packages", [])
        )
        return Recipe(
            manager="uv",
            kind="pylock",
            source=path,
            folder=folder,
            files=(path,),
            python=required_python(lock, path),
            private=private,
            notes=private_note(private),
        )
    return None


def _requirements(tree: Tree, start: str) -> Recipe | None:
    for folder in upward(start):
        path = os.path.normpath(os.path.join(folder, "requirements.txt"))
        if tree.read(path) is None:
            continue
        private = read_requirements(tree, path)
        return Recipe(
            manager="uv",
            kind="requirements",
            source=path,
            folder=folder,
            files=(path,),
            private=private,
            notes=private_note(private),
        )
    return None


def _pinned_python(tree: Tree, start: str) -> str | None:
    for folder in upward(start):
        text = tree.read_text(os.path.join(folder, ".python-version"))
        lines = [line.strip() for line in (text or "").splitlines()]
        if pins := [line for line in lines if line and not line.startswith("#")]:
            return pins[0]
    return None
