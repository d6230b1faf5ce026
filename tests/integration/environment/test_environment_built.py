"""Projects that cannot be imported from their tree: they are built for each attempt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kits import MINOR
from place import Place, versions

from evq.agent.environments import Cache, Request, detect

SETUPTOOLS = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
MOVED = f"""
[project]
name = "mine"
version = "1.5"
{SETUPTOOLS}
[tool.setuptools]
packages = ["mine"]
package-dir = {{ mine = "." }}
"""
COMPILED = f'[project]\nname = "mine"\nversion = "1.5"\n{SETUPTOOLS}'
SETUP = (
    'from setuptools import Extension, setup\nsetup(ext_modules=[Extension("mine", ["mine.c"])])'
)
MODULE = """
#include <Python.h>
static struct PyModuleDef mine = {PyModuleDef_HEAD_INIT, "mine", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_mine(void) {
    PyObject *module = PyModule_Create(&mine);
    PyModule_AddIntConstant(module, "number", NUMBER);
    return module;
}
"""
POETRY = """
[tool.poetry]
name = "mine"
version = "1.5"
description = ""
authors = []
packages = [{ include = "mine", from = "lib" }]
[tool.poetry.dependencies]
python = ">=3.9"
[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("how", ["lock", "uv", "pip"])
async def test_a_package_that_lies_elsewhere_is_built(place: Place, how: str) -> None:
    place.write("pyproject.toml", MOVED)
    place.write("__init__.py", "number = 7\n")
    if how == "lock":
        place.uv("lock")
    request = {"manager": "uv" if how == "lock" else how}
    assert "made anew" in detect(place.tree, Request(**request)).notes[0]
    first, second = await place.prepare(**request), await place.prepare(**request)
    assert place.python(first, "import mine; print(mine.number)") == "7"
    assert (second.cached, versions(second)["mine"]) == (False, "1.5")
    for environment in (first, second):
        environment.release()
    Cache(place.cache).prune(max_bytes=1 << 40)
    assert place.folders() == []


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("how", ["lock", "uv", "pip"])
async def test_a_package_in_c_is_compiled_for_each_attempt(
    tmp_path: Path, variables: dict[str, str], how: str
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    for number in (7, 8):
        place = Place(tmp_path / f"attempt{number}", variables)
        place.cache = tmp_path / "cache"
        place.write("pyproject.toml", COMPILED)
        place.write("setup.py", SETUP)
        place.write("mine.c", MODULE.replace("NUMBER", str(number)))
        if how == "lock":
            place.uv("lock")
        made = await place.prepare(manager="uv" if how == "lock" else how)
        assert place.python(made, "import mine; print(mine.number)") == str(number)


@pytest.mark.usefixtures("poetry")
async def test_poetry_builds_what_lies_elsewhere(place: Place) -> None:
    place.write("pyproject.toml", POETRY)
    place.write("lib/mine/__init__.py", "number = 7\n")
    made = await place.prepare(python=MINOR)
    assert place.python(made, "import mine; print(mine.number)") == "7"
    assert not (await place.prepare(python=MINOR)).cached
