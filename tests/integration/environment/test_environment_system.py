"""The Python that is there: looked at and recorded, never changed, never taken for another."""

from __future__ import annotations

import re

import pytest
from place import Place, versions

from evq.core.errors import EnvironmentFailed


async def test_it_records_what_is_there(place: Place) -> None:
    environment = await place.prepare(manager="system")
    named = place.python3(
        "from importlib.metadata import distributions as d; print(*[i.name for i in d()])"
    )
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in named.split()} == set(
        versions(environment)
    )
    version = place.python3("import platform; print(platform.python_version())")
    assert (environment.manager, environment.python) == ("system", version)
    assert (environment.path, environment.cached) == (None, True)
    assert environment.apply(place.variables) == place.variables


async def test_requirements_of_the_code_are_left_alone(place: Place) -> None:
    place.write("requirements.txt", "evq-test-no-such-package-8c1f\n")
    assert (await place.prepare(manager="system")).manager == "system"


async def test_requirements_of_the_task_are_refused(place: Place) -> None:
    with pytest.raises(EnvironmentFailed, match="six cannot be provided without an environment"):
        await place.prepare(manager="system", requirements=("six",))
    assert place.runs.commands == []


@pytest.mark.parametrize("asks", ["user", "pin", "project"])
async def test_another_python_is_refused(place: Place, asks: str) -> None:
    request = {}
    match asks:
        case "user":
            request = {"python": "3.99"}
        case "pin":
            place.write(".python-version", "3.99\n")
        case "project":
            place.write("pyproject.toml", '[project]\nname = "a"\nrequires-python = ">=3.99"\n')
    with pytest.raises(EnvironmentFailed, match=r"the system's Python is .* asks for \S*3\.99"):
        await place.prepare(manager="system", **request)


async def test_the_python_that_fits_is_taken(place: Place) -> None:
    minor = place.python3("import sys; print('%d.%d' % sys.version_info[:2])")
    place.write(".python-version", "3.99\n")
    environment = await place.prepare(manager="system", python=minor)
    assert environment.python is not None and environment.python.startswith(minor)


async def test_a_machine_without_python_says_so(place: Place) -> None:
    (place.tree / "python3").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (place.tree / "python3").chmod(0o755)
    place.variables["PATH"] = f"{place.tree}:{place.variables['PATH']}"
    with pytest.raises(EnvironmentFailed, match="no working python3") as caught:
        await place.prepare(manager="system")
    assert caught.value.why == "broken"
