"""Why a manager failed, out of its words: conda's as its users report them, the others' own."""

from __future__ import annotations

import pytest

from evq.agent.attempts.command import Completed
from evq.agent.environments import Recipe
from evq.agent.environments.conda_reason import explain_conda
from evq.agent.environments.pip_reason import explain_pip, explain_venv
from evq.agent.environments.poetry_project import python_specifier
from evq.agent.environments.poetry_reason import explain_poetry
from evq.agent.environments.versions import is_granted

RECIPE = Recipe(manager="pip", kind="requirements", source="requirements.txt")


def failed(output: str, exit_code: int = 1) -> Completed:
    return Completed(exit_code, output)


# --- pip ----------------------------------------------------------------------------------------

PIP_CONFLICT = """\
Collecting six==1.16.0
ERROR: Cannot install six==1.16.0 and six>=1.17 because these package versions have conflicting \
dependencies.

The conflict is caused by:
    The user requested six==1.16.0
    The user requested six>=1.17

To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit https://example.org/topics/dependency-resolution
"""
PIP_BUILD = """\
  error: subprocess-exited-with-error

  × Getting requirements to build wheel did not run successfully.
  │ exit code: 1
  ╰─> [3 lines of output]
      Traceback (most recent call last):
        File "<string>", line 1, in <module>
      SystemExit: there is no compiler
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
"""
PIP_MISSING = """\
ERROR: Could not find a version that satisfies the requirement nosuch (from versions: none)
ERROR: No matching distribution found for nosuch
"""


def test_pip_says_what_contradicts_what() -> None:
    error = explain_pip(RECIPE, failed(PIP_CONFLICT))
    assert error.what == "the requirements of requirements.txt cannot be met"
    assert error.why == "The user requested six==1.16.0; The user requested six>=1.17"


def test_pip_shows_the_end_of_a_build() -> None:
    error = explain_pip(RECIPE, failed(PIP_BUILD))
    assert error.what == "a package of requirements.txt cannot be built"
    assert error.why.endswith("SystemExit: there is no compiler")


@pytest.mark.parametrize(
    ("log", "what"),
    [
        ("", "the requirements of requirements.txt cannot be met"),
        ("http://h/nosuch/: 404 Client Error: Not Found", "the requirements of"),
        ("http://a:****@h/nosuch/: 401 Client Error: Unauthorized", "refuses the login"),
        ("http://h/nosuch/: connection error: HTTPConnectionPool", "cannot be reached"),
    ],
)
def test_pips_own_log_tells_a_missing_package_from_a_missing_index(log: str, what: str) -> None:
    log = f"2026-01-01T00:00:00,000 Could not fetch URL {log} - skipping" if log else ""
    error = explain_pip(RECIPE, failed(PIP_MISSING), log)
    assert what in error.what
    assert "****@h" in error.why if "401" in log else "h" in error.why


def test_a_disk_that_is_full_is_said_in_any_words() -> None:
    error = explain_pip(
        RECIPE, failed("ERROR: Could not install: [Errno 28] No space left on device")
    )
    assert error.what == "the disk is full"


def test_a_password_in_an_error_is_not_shown() -> None:
    error = explain_pip(RECIPE, failed("ERROR: cannot read https://ada:pw-9@host/simple"))
    assert "pw-9" not in f"{error} {error.fix}" and "host/simple" in error.why


def test_a_pip_that_is_killed() -> None:
    assert explain_pip(RECIPE, failed("", -9)).why == "pip was ended by signal 9"


def test_a_python_without_tls_is_told_as_that() -> None:
    said = "libssl.so.3: cannot open shared object file: No such file or directory"
    for error in (explain_pip(RECIPE, failed(said)), explain_poetry(RECIPE, failed(said))):
        assert error.what == "the Python that is there cannot talk to a package index"
        assert error.why == said and "--env uv" in error.fix


def test_a_venv_that_cannot_be_made() -> None:
    error = explain_venv("/usr/bin/python3", failed("No module named venv"))
    assert error.why == "No module named venv" and "python3-venv" in error.fix


# --- poetry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "what", "why"),
    [
        (
            "pyproject.toml changed significantly since poetry.lock was last generated. Run "
            "`poetry lock` to fix the lock file.",
            "is out of date",
            "has changed since it was locked",
        ),
        (
            "Current Python version (3.11.7) is not allowed by the project (>=3.12).",
            "does not allow the Python",
            "3.11.7",
        ),
        (
            "Because no versions of needy match !=1.0\n and needy (1.0) depends on tiny (<2), "
            "every version of needy requires tiny (<2).\nSo, because mine depends on both "
            "tiny (2.0) and needy (*), version solving failed.",
            "cannot be met",
            "needy (1.0) depends on tiny (<2)",
        ),
        ("All attempts to connect to host failed.", "cannot be reached", "host"),
        (
            "Source (here): Authorization error accessing http://h/simple/tiny/\n\nBecause mine "
            "depends on tiny (1.0) which doesn't match any versions, version solving failed.",
            "refuses the login",
            "Authorization error accessing http://h",
        ),
        ("Something else\nthat is new", "cannot be built", "that is new"),
    ],
)
def test_poetry_gives_its_reason(said: str, what: str, why: str) -> None:
    error = explain_poetry(RECIPE, failed(said))
    assert what in error.what and why in error.why


@pytest.mark.parametrize(
    ("constraint", "specifier"),
    [
        ("^3.11", ">=3.11,<4"),
        ("~3.11", ">=3.11,<3.12"),
        ("~3.11.2", ">=3.11.2,<3.12"),
        ("~3", ">=3,<4"),
        (">=3.9,<3.13", ">=3.9,<3.13"),
        (">=3.9 <3.13", ">=3.9,<3.13"),
        ("3.11.*", "==3.11.*"),
        ("*", None),
        ("^3.9 || ^4", None),
    ],
)
def test_poetrys_word_for_a_python_becomes_a_specifier(
    constraint: str, specifier: str | None
) -> None:
    assert python_specifier(constraint) == specifier


@pytest.mark.parametrize(
    ("version", "request_", "granted"),
    [
        ("3.11.7", "3", True),
        ("3.11.7", "3.11", True),
        ("3.11.7", "3.1", False),
        ("3.11.7", "3.11.6", False),
        ("3.14.0rc1", ">=3.13", True),
        ("3.11.7", "==3.11.*,>=3.9", True),
        ("3.11.7", "pypy3.10", None),
    ],
)
def test_a_python_is_the_one_that_was_asked_for(
    version: str, request_: str, granted: bool | None
) -> None:
    assert is_granted(version, request_) is granted


# --- conda --------------------------------------------------------------------------------------

MICROMAMBA = """\
error    libmamba Could not solve for environment specs
    The following packages are incompatible
    ├─ aiohttp ~= does not exist (perhaps a typo or a missing channel);
    └─ pytorch-cuda 11.8** is not installable because it requires
       └─ cuda 11.8.* , which does not exist (perhaps a missing channel).
critical libmamba Could not solve for environment specs
"""
CONDA = """\
Solving environment: failed

LibMambaUnsatisfiableError: Encountered problems while solving:
  - nothing provides requested wurlitzer 2.1.0**
"""
CONDA_CLASSIC = """\
Collecting package metadata (repodata.json): done
Solving environment: failed

ResolvePackageNotFound:
  - nosuch=1.0
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (MICROMAMBA, "aiohttp ~= does not exist"),
        (MICROMAMBA, "cuda 11.8.* , which does not exist"),
        (CONDA, "nothing provides requested wurlitzer 2.1.0**"),
        (CONDA_CLASSIC, "nosuch=1.0"),
    ],
)
def test_conda_says_what_it_cannot_have(said: str, why: str) -> None:
    error = explain_conda(RECIPE, "/opt/bin/conda", failed(said))
    assert error.what.endswith("cannot be met") and why in error.why


def test_a_pip_inside_of_conda_is_read_as_pip() -> None:
    error = explain_conda(RECIPE, "conda", failed(f"Pip subprocess error:\n{PIP_MISSING}"))
    assert "satisfies the requirement nosuch" in error.why
