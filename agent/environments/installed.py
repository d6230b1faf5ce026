"""What is in an environment on the disk."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from ...core.events import Package
from .base import Local

_COMMAND = re.compile(r"[A-Za-z0-9][\w.-]*")
_TARGET = re.compile(r"(?P<module>[A-Za-z_][\w.]*)\s*:\s*(?P<function>[A-Za-z_][\w.]*)(\s*\[.*\])?")


def describe_local(packages: Sequence[Local], environment: Path) -> None:
    """Record the packages of the tree as installed: their metadata, without their code.

    So `importlib.metadata.version("mine")`, entry points and the commands among them work, while
    the code comes from the work tree of each attempt by PYTHONPATH.
    """
    for local in packages:
        name = re.sub(r"[-_.]+", "_", local.name)
        folder = _site_packages(environment) / f"{name}-{local.version}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {local.name}\nVersion: {local.version}\n", "utf-8"
        )
        (folder / "INSTALLER").write_text("evq\n", "utf-8")
        sections = (
            "\n".join(
                [f"[{group}]", *(f"{point} = {value}" for point, value in points.items()), ""]
            )
            for group, points in local.entry_points.items()
        )
        (folder / "entry_points.txt").write_text("\n".join(sections), "utf-8")
        for name, target in local.entry_points.get("console_scripts", {}).items():
            if _COMMAND.fullmatch(name) and (found := _TARGET.fullmatch(target)):
                _write_command(environment / "bin" / name, found["module"], found["function"])


def _write_command(path: Path, module: str, function: str) -> None:
    if path.exists():  # what is really installed comes first
        return
    # A shell reads the first lines, because a path after #! may be too long or hold a space;
    # Python takes them for a string.
    python = shlex.quote(str(path.parent / "python"))
    path.write_text(
        f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n"
        f"import sys\nfrom {module} import {function.partition('.')[0]}\n"
        f"sys.exit({function}())\n",
        "utf-8",
    )
    path.chmod(0o755)


def _site_packages(folder: Path) -> Path:
    return next((folder / "lib").glob("python*/site-packages"))


def packages_of(folder: Path) -> tuple[Package, ...]:
    """What is installed, by name; in an environment of conda all that conda installed, too."""
    # By the names of files: asking the manager would be one more process for the same facts.
    found = {
        name: version
        for name, version in map(_named, _site_packages(folder).glob("*.dist-info"))
        if name
    }
    for record in (folder / "conda-meta").glob("*.json"):
        name, version, _build = record.stem.rsplit("-", 2)
        found[_normalized(name)] = version
    return tuple(Package(name, found[name]) for name in sorted(found))


def _named(info: Path) -> tuple[str, str]:
    name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
    return _normalized(name), version


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def python_version(folder: Path) -> str:
    """The version of the interpreter, such as "3.12.1"."""
    for record in (folder / "conda-meta").glob("python-[0-9]*.json"):
        return record.stem.split("-")[1]
    settings = (folder / "pyvenv.cfg").read_text("utf-8")
    # uv writes version_info, the standard library version.
    found = re.search(r"^version(?:_info)? = (\d+\.\d+\.\d+)", settings, re.MULTILINE)
    return found[1] if found else ""
