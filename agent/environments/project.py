"""Reading a project: `pyproject.toml`, and `uv.lock` beside it.

The packages whose code is in the tree (the project itself, members of its workspace, folders
it depends on) become `Local`s: only what they need from elsewhere is installed.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from ...core.errors import EnvironmentFailed
from .base import Local, Recipe, Request
from .built import why_built
from .local_code import names_local_code
from .tree import Tree, upward

_DECIDING = ("project", "dependency-groups", "build-system")
"""The tables of a pyproject.toml that decide what is installed, with [tool.uv]."""

# Not parsed as TOML, which takes 20 times as long (140 ms for a lock of 1 MB), at every
# start of a task. uv writes these lines, always in this form.
_LOCKED_LOCAL = re.compile(
    r'^\[\[package\]\]\nname = "(?P<name>[^"]+)"\n(?:version = "(?P<version>[^"]+)"\n)?'
    r'source = \{ (?P<kind>editable|directory|virtual) = "(?P<folder>[^"]+)" \}$',
    re.MULTILINE,
)
_LOCKED_PYTHON = re.compile(r'^requires-python = "([^"]+)"$', re.MULTILINE)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._+!-]+")
_UNKNOWN_VERSION = "0"
"""The version of a package in the tree that computes its version when it is built."""


def find_lock(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of the nearest `uv.lock` with a project, from the script upward."""
    for folder in upward(request.start):
        path = _join(folder, "uv.lock")
        if tree.find(path) is None or read_pyproject(tree, folder) is None:
            continue
        lock = tree.read_text(path) or ""
        packages = {_join(folder, found["folder"]): found for found in _LOCKED_LOCAL.finditer(lock)}
        python = _LOCKED_PYTHON.search(lock)
        local = tuple(
            read_local(
                tree,
                place,
                found["name"],
                found["version"],
                read_pyproject(tree, place) or {},
            )
            for place, found in packages.items()
            if found["kind"] != "virtual"
        )
        private = any(one.built for one in local)
        return Recipe(
            manager="uv",
            kind="lock",
            source=path,
            # uv installs what the project it is called in needs, here a member of the workspace.
            folder=next(
                (near for near in upward(request.start) if os.path.normpath(near) in packages),
                folder,
            ),
            files=(path,),
            python=python[1] if python else None,
            local=local,
            private=private,
            notes=private_note(private),
        )
    return None


def find_project(tree: Tree, request: Request) -> Recipe | None:
    """The recipe of the nearest `pyproject.toml` with a [project], from the script upward."""
    for folder in upward(request.start):
        data = read_pyproject(tree, folder)
        if data is None or "project" not in data:
            continue
        project, settings = table(data, "project"), _uv_settings(data)
        path = _join(folder, "pyproject.toml")
        local: tuple[Local, ...] = ()
        if settings.get("package", "build-system" in data):
            name, version = str(project.get("name")), project.get("version")
            local = (read_local(tree, _join(folder, "."), name, version, data),)
        private = (
            has_local_sources(data)
            or any(one.built for one in local)
            or "dependencies" in project.get("dynamic", [])
            or any(names_local_code(str(need)) for need in project.get("dependencies", []))
        )
        return Recipe(
            manager="uv",
            kind="project",
            source=path,
            folder=folder,
            files=(path,),
            groups=_default_groups(data),
            python=required_python(project, path),
            local=local,
            private=private,
            notes=(*private_note(private), not_reproducible("uv lock")),
        )
    return None


def read_settings(tree: Tree, folder: str) -> None:
    """Read uv's settings into the digest: `uv.toml` and [tool.uv], of `folder` and all above."""
    for place in upward(folder):
        tree.read(_join(place, "uv.toml"))
        path = _join(place, "pyproject.toml")
        if (data := tree.read_toml(path)) is not None:
            tree.forget(path)
            tree.note(f"[tool.uv] of {path}", canonical(_uv_settings(data)))


def read_pyproject(tree: Tree, folder: str) -> dict[str, Any] | None:
    """The `pyproject.toml` of `folder`; only what decides goes into the digest."""
    path = _join(folder, "pyproject.toml")
    if (data := tree.read_toml(path)) is None:
        return None
    tree.forget(path)
    tree.note(f"project {path}", canonical([data.get(name) for name in _DECIDING]))
    return data


def has_local_sources(data: dict[str, Any]) -> bool:
    """Whether [tool.uv.sources] names code of the tree."""
    sources = _uv_settings(data).get("sources", {}).values()
    entries = [e for source in sources for e in (source if isinstance(source, list) else [source])]
    return any("path" in entry or "workspace" in entry for entry in entries)


def required_python(found: dict[str, Any], path: str) -> str | None:
    """The `requires-python` of a table read from `path`."""
    required = found.get("requires-python")
    if required is None or (isinstance(required, str) and required.isprintable()):
        return required
    raise EnvironmentFailed(f"requires-python of {path} is not a version specifier")


def private_note(private: bool) -> tuple[str, ...]:
    """What to tell about an environment that serves one attempt only."""
    if not private:
        return ()
    return ("it installs code of the task itself, so it is made anew for each attempt",)


def not_reproducible(fix: str) -> str:
    """What to tell about an environment made without a lock."""
    return f"not reproducible: there is no lock; run {fix}"


def read_local(
    tree: Tree, folder: str, name: str, version: str | None, data: dict[str, Any]
) -> Local:
    """The package in `folder` of the tree, whose `pyproject.toml` holds `data`."""
    project = table(data, "project")
    groups = {
        "console_scripts": project.get("scripts"),
        "gui_scripts": project.get("gui-scripts"),
        **project.get("entry-points", {}),
    }
    return Local(
        # Both become the name of a folder.
        name=_NOT_IN_NAMES.sub("-", name),
        version=_NOT_IN_NAMES.sub("-", version or _UNKNOWN_VERSION),
        folder=folder,
        entry_points={key: group for key, group in groups.items() if group},
        built=why_built(tree, folder, data),
    )


def _default_groups(data: dict[str, Any]) -> tuple[str, ...]:
    groups = data.get("dependency-groups", {})
    chosen = _uv_settings(data).get("default-groups", ["dev"])
    return tuple(group for group in groups if chosen == "all" or group in chosen)


def _uv_settings(data: dict[str, Any]) -> dict[str, Any]:
    return table(table(data, "tool"), "uv")


def table(data: dict[str, Any], name: str) -> dict[str, Any]:
    """The table `name` of `data`, empty if there is none."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def canonical(value: object) -> bytes:
    """`value` as bytes that are equal for equal content."""
    return json.dumps(value, sort_keys=True, default=str).encode()


def _join(folder: str, name: str) -> str:
    return os.path.normpath(os.path.join(folder, name))
