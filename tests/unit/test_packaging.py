"""The wheel holds the house and nothing else; files are small and have names that say something."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LONGEST = 400
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}


def house_files() -> list[Path]:
    """What git knows, or would know after an `add`: not environments, caches or builds."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return sorted({Path(name) for name in listed if name and (ROOT / name).is_file()})


PYTHON = [file for file in house_files() if file.suffix == ".py"]


def test_the_wheel_holds_every_package() -> None:
    folders = {file.parent for file in PYTHON if file.name == "__init__.py"}
    names = {
        ".".join(("evq", *folder.parts)) for folder in folders if folder.parts[:1] != (".links",)
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == names


def test_the_root_holds_the_face_alone() -> None:
    """Any other module there would be shipped as a part of `evq`."""
    assert [file for file in PYTHON if len(file.parts) == 1] == [Path("__init__.py")]


def test_tests_are_no_package() -> None:
    assert not [f for f in PYTHON if f.parts[0] == "tests" and f.name == "__init__.py"]


def test_the_names_of_tests_are_unique() -> None:
    names = [file.name for file in PYTHON if file.name.startswith("test_")]
    assert sorted(set(names)) == sorted(names)


def test_what_is_shipped_beside_code_is_there() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for package, patterns in data.items():
        folder = ROOT.joinpath(*package.split(".")[1:])
        for pattern in patterns:
            assert list(folder.glob(pattern)), f"{package}: {pattern}"


def test_files_are_short() -> None:
    lines = {str(file): len((ROOT / file).read_text().splitlines()) for file in PYTHON}
    assert {file: count for file, count in lines.items() if count > LONGEST} == {}


def test_names_say_something() -> None:
    parts = {part.removesuffix(".py") for file in PYTHON for part in file.parts}
    assert parts & EMPTY_NAMES == set()


def test_a_module_begins_with_what_it_is_for() -> None:
    texts = {str(file): (ROOT / file).read_text() for file in PYTHON}
    silent = [
        file for file, text in texts.items() if text and not ast.get_docstring(ast.parse(text))
    ]
    assert silent == []


def test_no_test_sleeps_and_hopes() -> None:
    """A test waits for an event; `until` in tests/conftest.py is for what announces nothing."""
    sleeps = [
        f"{file}:{node.lineno}"
        for file in PYTHON
        if file.name.startswith("test_")
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep")
        and ast.unparse(node.args[0]) != "0"
    ]
    assert sleeps == []
