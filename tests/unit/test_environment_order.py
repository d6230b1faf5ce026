"""Which manager a project is for, and what none of them leaves out without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evq.agent.environments import Request, detect
from evq.core.errors import EnvironmentFailed

PROJECT = '[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["six"]\n'
POETRY = (
    '[tool.poetry]\nname = "mine"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.9"\n'
)
POETRY_LOCK = '[metadata]\nlock-version = "2.1"\n'
HEADER = '# /// script\n# dependencies = ["six"]\n# ///\n'


def put(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def found(root: Path, **request: Any) -> tuple[str, str]:
    recipe = detect(root, Request(script="train.py", **request))
    return recipe.manager, recipe.kind


def test_the_files_of_the_project_decide_on_the_manager(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "six\n")
    assert found(tmp_path) == ("uv", "requirements")
    put(tmp_path, "pyproject.toml", PROJECT)
    assert found(tmp_path) == ("uv", "project")
    put(tmp_path, "environment.yml", "dependencies:\n  - python\n")
    assert found(tmp_path) == ("conda", "conda")
    put(tmp_path, "pyproject.toml", POETRY)
    assert found(tmp_path) == ("poetry", "poetry")
    put(tmp_path, "pyproject.toml", PROJECT + POETRY)
    assert found(tmp_path) == ("conda", "conda")
    put(tmp_path, "poetry.lock", POETRY_LOCK)
    assert found(tmp_path) == ("poetry", "poetry-lock")
    put(tmp_path, "pylock.toml", 'lock-version = "1.0"\n')
    assert found(tmp_path) == ("uv", "pylock")
    put(tmp_path, "uv.lock", 'version = 1\nrequires-python = ">=3.11"\n')
    assert found(tmp_path) == ("uv", "lock")
    put(tmp_path, "train.py", HEADER)
    assert found(tmp_path) == ("uv", "script")
    assert found(tmp_path, requirements=("six",)) == ("uv", "explicit")
    put(tmp_path, "gpu.yml", "dependencies:\n  - python\n")
    assert found(tmp_path, requirements=("gpu.yml",)) == ("conda", "conda")


def test_a_manager_that_is_named_takes_what_it_can_read(tmp_path: Path) -> None:
    put(tmp_path, "pyproject.toml", PROJECT + '[dependency-groups]\ndev = ["idna"]\n')
    put(tmp_path, "uv.lock", 'version = 1\nrequires-python = ">=3.11"\n')
    put(tmp_path, "environment.yml", "dependencies:\n  - python\n")
    put(tmp_path, "poetry.lock", POETRY_LOCK)
    assert found(tmp_path, manager="pip") == ("pip", "project")
    assert found(tmp_path, manager="poetry") == ("poetry", "poetry-lock")
    assert found(tmp_path, manager="conda") == ("conda", "conda")
    assert found(tmp_path, manager="system") == ("system", "system")
    recipe = detect(tmp_path, Request(manager="pip"))
    assert (recipe.specs, recipe.files, recipe.groups) == (("six",), (), ())
    assert "pip reads no lock" in recipe.notes[-1]
    put(tmp_path, "train.py", HEADER.replace("six", "idna"))
    assert detect(tmp_path, Request(manager="pip", script="train.py")).specs == ("idna",)


@pytest.mark.parametrize("manager", ["poetry", "conda"])
def test_a_manager_that_finds_nothing_says_what_it_looks_for(tmp_path: Path, manager: str) -> None:
    put(tmp_path, "requirements.txt", "six\n")
    with pytest.raises(EnvironmentFailed, match=f"there is nothing for {manager}") as caught:
        detect(tmp_path, Request(manager=manager))
    assert "looks for" in caught.value.why


@pytest.mark.parametrize(
    ("manager", "wish", "option"),
    [
        ("pip", {"torch_backend": "auto"}, "--torch-backend auto"),
        ("poetry", {"requirements": ("six",)}, "--requirement six"),
        ("poetry", {"indexes": ("https://a:${B}@h/",)}, r"--index https://a:\$\{B\}@h/"),
        ("poetry", {"constraints": ("c.txt",)}, "--constraint c.txt"),
        ("conda", {"constraints": ("c.txt",)}, "--constraint c.txt"),
        ("conda", {"torch_backend": "cpu"}, "--torch-backend cpu"),
        ("system", {"indexes": ("https://h/",)}, "https://h/"),
        ("none", {"constraints": ("c.txt",)}, "c.txt"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(
    tmp_path: Path, manager: str, wish: dict[str, Any], option: str
) -> None:
    put(tmp_path, "pyproject.toml", POETRY)
    put(tmp_path, "environment.yml", "dependencies:\n  - python\n")
    with pytest.raises(EnvironmentFailed, match=option) as caught:
        detect(tmp_path, Request(manager=manager, **wish))
    assert caught.value.why and caught.value.fix == "--env uv"


@pytest.mark.parametrize("wish", [{"constraints": ("c.txt",)}, {"torch_backend": "cpu"}])
def test_a_lock_leaves_nothing_to_choose(tmp_path: Path, wish: dict[str, Any]) -> None:
    put(tmp_path, "pyproject.toml", PROJECT)
    put(tmp_path, "uv.lock", 'version = 1\nrequires-python = ">=3.11"\n')
    put(tmp_path, "c.txt", "six<2\n")
    with pytest.raises(EnvironmentFailed, match=r"cannot change what uv\.lock has locked"):
        detect(tmp_path, Request(**wish))


def test_pip_is_not_given_what_only_uv_reads(tmp_path: Path) -> None:
    put(tmp_path, "pyproject.toml", PROJECT)
    with pytest.raises(EnvironmentFailed, match=r"pip does not read pyproject\.toml"):
        detect(tmp_path, Request(manager="pip", requirements=("pyproject.toml",)))


def test_an_option_is_not_smuggled_in_by_a_project(tmp_path: Path) -> None:
    put(tmp_path, "pyproject.toml", PROJECT.replace('"six"', '"--index-url=https://evil/"'))
    with pytest.raises(EnvironmentFailed, match="is not a requirement"):
        detect(tmp_path, Request(manager="pip"))


def test_a_password_does_not_change_the_digest(tmp_path: Path) -> None:
    def digest(address: str) -> str:
        return detect(tmp_path, Request(requirements=("six",), indexes=(address,))).digest

    assert digest("https://a:${B}@h/simple") == digest("https://h/simple")
    assert digest("https://h/other") != digest("https://h/simple")
    recipe = detect(
        tmp_path, Request(requirements=("six",), indexes=("https://${USER_}:${B}@h/simple",))
    )
    assert recipe.secrets == ("B", "USER_")


@pytest.mark.parametrize(
    ("files", "built"),
    [
        ({}, ""),
        ({"setup.py": "from setuptools import setup\nsetup()\n"}, ""),
        ({"setup.py": "setup(ext_modules=[Extension('a', ['a.c'])])\n"}, "setup.py"),
        ({"setup.cfg": "[options]\npackage_dir =\n    = src\n"}, ""),
        ({"setup.cfg": "[options]\npackage_dir =\n    mine = lib\n"}, "setup.cfg"),
        ({"pyproject.toml": '[tool.setuptools]\npackage-dir = {"" = "src"}\n'}, ""),
        ({"pyproject.toml": '[tool.setuptools]\npackage-dir = {"" = "lib"}\n'}, "package-dir"),
        ({"pyproject.toml": '[tool.setuptools.packages.find]\nwhere = ["lib"]\n'}, "where"),
        ({"pyproject.toml": '[tool.hatch.build.targets.wheel]\nsources = ["src"]\n'}, ""),
        ({"pyproject.toml": '[tool.hatch.build.targets.wheel]\npackages = ["src/mine"]\n'}, ""),
        ({"pyproject.toml": '[tool.hatch.build.hooks.vcs]\nversion-file = "a.py"\n'}, "hooks"),
        ({"pyproject.toml": '[tool.setuptools_scm]\nversion_file = "mine/v.py"\n'}, "version"),
    ],
)
def test_what_the_tree_does_not_hold_ready_is_built(
    tmp_path: Path, files: dict[str, str], built: str
) -> None:
    build = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    put(tmp_path, "pyproject.toml", PROJECT + build + files.pop("pyproject.toml", ""))
    for path, content in files.items():
        put(tmp_path, path, content)
    recipe = detect(tmp_path, Request())
    assert recipe.private == bool(built)
    assert built in recipe.local[0].built if built else recipe.local[0].built == ""


@pytest.mark.parametrize("backend", ["maturin", "scikit_build_core.build", "mesonpy"])
def test_what_is_compiled_is_built(tmp_path: Path, backend: str) -> None:
    put(tmp_path, "pyproject.toml", f'{PROJECT}[build-system]\nbuild-backend = "{backend}"\n')
    assert detect(tmp_path, Request()).private
