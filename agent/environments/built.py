"""Whether a package of the tree has to be built before it can be imported."""

from __future__ import annotations

import os
import re
from typing import Any

from .tree import Tree

_ALWAYS = ("maturin", "scikit_build_core", "mesonpy", "setuptools_rust", "cffi", "pybind11")
"""Backends, and what a build requires, of packages that are compiled."""

_SETUP = re.compile(r"ext_modules|Extension\s*\(|cythonize|package_dir|cffi_modules|cmdclass")
_SETUP_CFG = re.compile(r"(?m)^package_dir\s*=(?!\s*(?:=|\s)\s*src\s*$)")
_IN_PLACE: tuple[dict[str, str], ...] = ({}, {"": "."}, {"": "src"})


def why_built(tree: Tree, folder: str, data: dict[str, Any]) -> str:
    """Why the package in `folder`, with `data` in its `pyproject.toml`, is not importable from
    its folder or `src` in it; "" if it is."""
    build = data.get("build-system") or {}
    needs = [str(build.get("build-backend", "")), *map(str, build.get("requires", []))]
    for compiler in _ALWAYS:
        if any(need.replace("-", "_").startswith(compiler) for need in needs):
            return f"{compiler} compiles it"
    tool = data.get("tool") or {}
    return (
        _by_setuptools(tool.get("setuptools") or {})
        or _by_setuptools_scm(tool.get("setuptools_scm") or {})
        or _by_hatch(tool.get("hatch") or {})
        or _by_poetry(tool.get("poetry") or {})
        or _by_script(tree, folder)
    )


def _by_setuptools(settings: dict[str, Any]) -> str:
    if settings.get("ext-modules"):
        return "[tool.setuptools] has ext-modules"
    if settings.get("package-dir", {}) not in _IN_PLACE:
        return "[tool.setuptools] has a package-dir"
    packages = settings.get("packages")
    find = packages.get("find") or {} if isinstance(packages, dict) else {}
    if find.get("where", []) not in ([], ["."], ["src"]):
        return "[tool.setuptools.packages.find] has a where"
    return ""


def _by_setuptools_scm(settings: dict[str, Any]) -> str:
    if any(settings.get(name) for name in ("version_file", "write_to")):
        return "setuptools_scm writes its version"
    return ""


def _by_hatch(settings: dict[str, Any]) -> str:
    build = settings.get("build") or {}
    wheel = (build.get("targets") or {}).get("wheel") or {}
    for part in (build, wheel):
        for name in ("hooks", "sources", "force-include"):
            if part.get(name) not in (None, {}, [], ["src"]):
                return f"[tool.hatch.build] has {name}"
    return ""


def _by_poetry(settings: dict[str, Any]) -> str:
    if settings.get("build"):
        return "[tool.poetry] has a build"
    for package in settings.get("packages", []):
        if package.get("from", ".") not in (".", "src") or "to" in package:
            return "[tool.poetry] has packages from elsewhere"
    return ""


def _by_script(tree: Tree, folder: str) -> str:
    for name, pattern in (("setup.py", _SETUP), ("setup.cfg", _SETUP_CFG)):
        path = os.path.join(folder, name)
        content = tree.read(path)
        tree.forget(path)  # what is built is built for each attempt, whatever it says
        if content is not None and pattern.search(content.decode("utf-8", "replace")):
            return f"{name} builds or moves it"
    return ""
