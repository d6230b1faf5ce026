"""What an environment is made from: the order, the digest, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from evq.agent.environments import Recipe, Request, detect
from evq.agent.environments.script import script_block
from evq.agent.environments.versions import python_request
from evq.core.errors import EnvironmentFailed

HEADER = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["six"]\n# ///\n'
PROJECT = '[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["six"]\n'
LOCK = (
    'version = 1\nrequires-python = ">=3.11"\n\n[[package]]\nname = "mine"\nversion = "1.0"\n'
    'source = { editable = "." }\n\n[[package]]\nname = "part"\nversion = "2.0"\n'
    'source = { editable = "parts/part" }\n\n[[package]]\nname = "six"\nversion = "1.17.0"\n'
    'source = { registry = "https://example.org/simple" }\n'
)


def put(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def digest(root: Path, **request: Any) -> str:
    return detect(root, Request(**request)).digest


def test_the_first_hit_of_the_order_wins(tmp_path: Path) -> None:
    def kind(*requirements: str) -> str:
        return detect(tmp_path, Request(script="train.py", requirements=requirements)).kind

    assert kind() == "bare"
    put(tmp_path, "requirements.txt", "six\n")
    assert kind() == "requirements"
    put(tmp_path, "pyproject.toml", "[tool.ruff]\n")
    assert kind() == "requirements"
    put(tmp_path, "pyproject.toml", PROJECT)
    assert kind() == "project"
    put(tmp_path, "pylock.toml", 'lock-version = "1.0"\n')
    assert kind() == "pylock"
    put(tmp_path, "uv.lock", LOCK)
    assert kind() == "lock"
    put(tmp_path, "train.py", HEADER)
    assert kind() == "script"
    put(tmp_path, "train.py.lock", "version = 1\n")
    assert kind() == "script-lock"
    assert kind("requirements.txt") == "explicit"
    assert kind("numpy>=2") == "explicit"


def test_files_are_looked_for_from_the_script_upward(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "six\n")
    put(tmp_path, "a/b/train.py", "")
    assert detect(tmp_path, Request(script="a/b/train.py")).source == "requirements.txt"
    put(tmp_path, "a/requirements.txt", "idna\n")
    assert detect(tmp_path, Request(script="a/b/train.py")).source == "a/requirements.txt"
    assert detect(tmp_path, Request(folder="a")).source == "a/requirements.txt"
    assert detect(tmp_path, Request()).source == "requirements.txt"


def test_a_file_above_the_tree_is_not_seen(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "six\n")
    put(tmp_path, "tree/train.py", "")
    assert detect(tmp_path / "tree", Request(script="train.py")).kind == "bare"


def test_the_digest_follows_what_decides_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path, "train.py", HEADER + "print(1)\n")
    first = digest(tmp_path, script="train.py")
    put(tmp_path, "train.py", HEADER + "print(2)\n")
    assert digest(tmp_path, script="train.py") == first
    put(tmp_path, "train.py", HEADER.replace("six", "idna"))
    assert digest(tmp_path, script="train.py") != first

    put(tmp_path, "pyproject.toml", PROJECT)
    first = digest(tmp_path)
    put(tmp_path, "pyproject.toml", PROJECT + "[tool.ruff]\nline-length = 100\n")
    assert digest(tmp_path) == first
    put(tmp_path, "pyproject.toml", PROJECT + "[tool.uv]\nprerelease = 'allow'\n")
    assert digest(tmp_path) != first


@pytest.mark.parametrize(
    "include",
    ["-r base.txt", "-rbase.txt", "--requirement=base.txt", "-c base.txt", "-c\\\n base.txt"],
)
def test_an_included_file_is_part_of_the_digest(tmp_path: Path, include: str) -> None:
    put(tmp_path, "req/requirements.txt", f"{include}  # more\nidna\n")
    put(tmp_path, "req/base.txt", "-r requirements.txt\nsix==1.16.0\n")
    first = digest(tmp_path, folder="req")
    put(tmp_path, "req/base.txt", "-r requirements.txt\nsix==1.17.0\n")
    assert digest(tmp_path, folder="req") != first


def test_an_included_file_that_is_missing_is_named(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "-r base.txt\n")
    with pytest.raises(EnvironmentFailed, match=r"base\.txt is not in the task's code"):
        detect(tmp_path, Request())


@pytest.mark.parametrize("include", ["-r ../secret", "-r /etc/passwd", "-c ../../../etc/passwd"])
def test_an_include_does_not_lead_out_of_the_tree(tmp_path: Path, include: str) -> None:
    put(tmp_path, "secret", "root:x\n")
    put(tmp_path, "tree/requirements.txt", f"{include}\n")
    with pytest.raises(EnvironmentFailed, match="leads out of the task's code"):
        detect(tmp_path / "tree", Request())


@pytest.mark.parametrize(
    "name",
    ["requirements.txt", "pyproject.toml", "uv.toml", ".python-version", "train.py", "pylock.toml"],
)
def test_a_link_out_of_the_tree_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, "secret", "root:x\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / name).symlink_to("../secret")
    with pytest.raises(EnvironmentFailed, match="leads out of the task's code") as caught:
        detect(tmp_path / "tree", Request(script="train.py"))
    assert "root:x" not in str(caught.value)


def test_a_link_inside_the_tree_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "req/all.txt", "six\n")
    (tmp_path / "requirements.txt").symlink_to("req/all.txt")
    assert detect(tmp_path, Request()).kind == "requirements"


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "requirements.txt")
    with pytest.raises(EnvironmentFailed, match="not a regular file"):
        detect(tmp_path, Request())


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").symlink_to("requirements.txt")
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        detect(tmp_path, Request())


@pytest.mark.parametrize(
    "asked",
    [
        "--index-url=https://example.org",
        "-rrequirements.txt",
        "six\n--index-url https://example.org",
        "six\r-e .",
        "",
        "../x",
        " six",
    ],
)
def test_no_option_is_smuggled_in_as_a_requirement(tmp_path: Path, asked: str) -> None:
    with pytest.raises(EnvironmentFailed):
        detect(tmp_path, Request(requirements=(asked,)))


def test_a_missing_requirements_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"gpu\.txt is not in the task's code"):
        detect(tmp_path, Request(requirements=("gpu.txt",)))


@pytest.mark.parametrize(
    ("line", "private"),
    [
        ("-e .", True),
        ("./libs/part", True),
        ("libs/part", True),
        ("part @ file:///srv/part", True),
        ("wheels/part-1-py3-none-any.whl", True),
        ("--find-links ./wheels", True),
        ("-r https://example.org/base.txt", True),
        ("six>=1 ; python_version < '4'", False),
        ("part @ git+https://example.org/part@v1", False),
        ("--index-url https://example.org/simple/", False),
        ("six # ./not/a/path", False),
    ],
)
def test_code_of_the_tree_makes_an_environment_private(
    tmp_path: Path, line: str, private: bool
) -> None:
    put(tmp_path, "requirements.txt", f"{line}\n")
    recipe = detect(tmp_path, Request())
    assert recipe.private == private
    assert any("made anew" in note for note in recipe.notes) == private


def test_packages_of_the_tree_are_read_from_the_lock(tmp_path: Path) -> None:
    scripts = '[project.scripts]\nmine = "mine:main"\n'
    put(tmp_path, "uv.lock", LOCK)
    put(tmp_path, "pyproject.toml", PROJECT + scripts)
    put(tmp_path, "parts/part/pyproject.toml", '[project]\nname = "part"\nversion = "2.0"\n')
    recipe = detect(tmp_path, Request(script="run.py"))
    assert [(local.name, local.version, local.folder) for local in recipe.local] == [
        ("mine", "1.0", "."),
        ("part", "2.0", "parts/part"),
    ]
    assert recipe.local[0].entry_points == {"console_scripts": {"mine": "mine:main"}}
    assert recipe.folder == "."
    assert recipe.python == ">=3.11"
    member = detect(tmp_path, Request(script="parts/part/bin/run.py"))
    assert (member.source, os.path.normpath(member.folder)) == ("uv.lock", "parts/part")


def test_a_package_of_the_lock_does_not_lead_out_of_the_tree(tmp_path: Path) -> None:
    put(tmp_path, "tree/uv.lock", LOCK.replace("parts/part", "../part"))
    put(tmp_path, "tree/pyproject.toml", PROJECT)
    with pytest.raises(EnvironmentFailed, match="leads out of the task's code"):
        detect(tmp_path / "tree", Request())


def test_a_project_without_lock_says_that_it_is_not_reproducible(tmp_path: Path) -> None:
    groups = '[dependency-groups]\ndev = ["iniconfig"]\ndocs = ["idna"]\n'
    put(tmp_path, "pyproject.toml", PROJECT + groups)
    recipe = detect(tmp_path, Request())
    assert (recipe.groups, recipe.local) == (("dev",), ())
    assert "uv lock" in recipe.notes[-1]
    put(tmp_path, "pyproject.toml", PROJECT + groups + "[tool.uv]\npackage = true\n")
    assert [local.name for local in detect(tmp_path, Request()).local] == ["mine"]


@pytest.mark.parametrize(
    ("wish", "required", "request_"),
    [
        (None, None, None),
        (None, ">=3.11", ">=3.11"),
        ("3.12", None, "3.12"),
        ("3.12", ">=3.11", "==3.12.*,>=3.11"),
        ("3.12.1", ">=3.11", "==3.12.1,>=3.11"),
        (">=3.12", "<3.14", ">=3.12,<3.14"),
        ("pypy3.10", ">=3.9", "pypy3.10"),
    ],
)
def test_one_request_grants_the_wish_and_the_requirement(
    wish: str | None, required: str | None, request_: str | None
) -> None:
    assert python_request(wish, required) == request_


def test_a_wish_comes_before_a_pin_of_the_tree(tmp_path: Path) -> None:
    put(tmp_path, ".python-version", "# ours\n\n3.13\n")
    put(tmp_path, "a/train.py", "")
    assert detect(tmp_path, Request(script="a/train.py")).python == "3.13"
    assert detect(tmp_path, Request(script="a/train.py", python="3.12")).python == "3.12"


def test_a_script_block_is_read_as_the_specification_says() -> None:
    assert script_block("print()\n", "x.py") is None
    assert script_block("# /// pyproject\n# a = 1\n# ///\n", "x.py") is None
    assert script_block("# /// script\n# a = 1\n#\n# b = 2\n# ///\n", "x.py") == "a = 1\n\nb = 2\n"
    assert script_block("# /// script\n# a = 1\nprint()\n", "x.py") is None
    with pytest.raises(EnvironmentFailed, match="header"):
        script_block(HEADER + "\n" + HEADER, "x.py")


def test_a_header_is_found_in_a_script_of_any_encoding(tmp_path: Path) -> None:
    script = HEADER.replace("\n", "\r\n") + "# -*- coding: latin-1 -*-\r\nprint('\u00fc')\r\n"
    (tmp_path / "train.py").write_bytes(script.encode("latin-1"))
    assert detect(tmp_path, Request(script="train.py")).kind == "script"


def test_a_requirement_may_be_longer_than_any_path(tmp_path: Path) -> None:
    asked = "six @ https://example.org/" + "x" * 5000
    assert detect(tmp_path, Request(requirements=(asked,))).specs == (asked,)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    put(tmp_path, "train.py", "# /// script\n# dependencies = [\n# ///\n")
    with pytest.raises(EnvironmentFailed, match=r"the header of train\.py is not valid TOML"):
        detect(tmp_path, Request(script="train.py"))
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(EnvironmentFailed, match="not UTF-8"):
        detect(tmp_path, Request())


def test_none_takes_the_machine_as_it_is(tmp_path: Path) -> None:
    put(tmp_path, "requirements.txt", "six\n")
    assert detect(tmp_path, Request(manager="none")).kind == "none"
    for wish in (
        Request(manager="none", python="3.12"),
        Request(manager="none", requirements=("six",)),
    ):
        with pytest.raises(EnvironmentFailed, match="cannot be provided without an environment"):
            detect(tmp_path, wish)


def test_an_unknown_manager_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="no environment manager 'pixi'"):
        detect(tmp_path, Request(manager="pixi"))


def test_a_recipe_names_its_source(tmp_path: Path) -> None:
    put(tmp_path, "deep/uv.lock", LOCK)
    put(tmp_path, "deep/pyproject.toml", PROJECT)
    recipe = detect(tmp_path, Request(script="deep/train.py"))
    assert isinstance(recipe, Recipe)
    assert (recipe.manager, recipe.source) == ("uv", "deep/uv.lock")
