"""conda, played by a double: the commands that it gets, and what is made of its answers.

No conda can be had where the tests run. So nothing here shows that the real programs do what the
double does; its words and its options are theirs.
"""

from __future__ import annotations

import json

import pytest
from index import Index
from kits import CURRENT, MINOR, play
from place import Place, versions

from evq.agent.environments import Request, detect
from evq.core.errors import EnvironmentFailed

FILE = f"dependencies:\n  - python={MINOR}\n  - tiny=1.0\n"


def commands(place: Place) -> list[list[str]]:
    with open(place.variables["DOUBLE_LOG"]) as log:
        return [json.loads(line) for line in log]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("micromamba", ["create", "--yes"]),
        ("mamba", ["env", "create", "--yes"]),
        ("conda", ["env", "create", "--yes"]),
    ],
)
async def test_each_program_is_told_in_its_own_words(
    place: Place, program: str, words: list[str]
) -> None:
    play(place, program)
    place.write("env/environment.yml", FILE)
    made = await place.prepare(folder="env")
    prefix = ["--prefix", str(made.path), "--file", "environment.yml"]
    assert commands(place) == [[program, *words, *prefix]]
    assert made.variables == {
        "CONDA_PREFIX": str(made.path),
        "CONDA_DEFAULT_ENV": str(made.path),
    }
    assert versions(made) == {"python": CURRENT, "tiny": "1.0"}


async def test_the_fastest_of_several_is_taken(place: Place) -> None:
    for program in ("conda", "mamba", "micromamba"):
        play(place, program)
    place.write("environment.yml", FILE)
    await place.prepare()
    assert [words[0] for words in commands(place)] == ["micromamba"]


async def test_without_any_of_them_the_error_says_what_to_do(place: Place) -> None:
    place.variables["PATH"] = "/usr/bin:/bin"
    place.write("environment.yml", FILE)
    with pytest.raises(EnvironmentFailed, match=r"environment\.yml needs conda") as caught:
        await place.prepare()
    assert "micromamba" in caught.value.why and "--env uv" in caught.value.fix
    assert place.folders() == []
    assert not (await place.prepare(manager="uv")).cached


@pytest.mark.parametrize("program", ["micromamba", "conda"])
async def test_each_program_gives_its_reason(place: Place, program: str) -> None:
    play(place, program)
    place.write("environment.yml", FILE + "  - nosuch=2\n")
    with pytest.raises(EnvironmentFailed, match=r"of environment\.yml cannot be") as caught:
        await place.prepare()
    assert "nosuch" in caught.value.why and "LibMamba" not in caught.value.why


async def test_an_environment_without_python_is_refused(place: Place) -> None:
    play(place, "micromamba")
    place.write("environment.yml", "dependencies:\n  - tiny=1.0\n")
    with pytest.raises(EnvironmentFailed, match="an environment without Python"):
        await place.prepare()


async def test_a_file_may_be_named(place: Place, packages: Index) -> None:
    play(place, "micromamba")
    place.write("env/gpu.yml", FILE)
    made = await place.prepare(requirements=("env/gpu.yml",))
    assert (made.manager, commands(place)[0][-1]) == ("conda", "env/gpu.yml")
    with pytest.raises(EnvironmentFailed, match="tiny cannot be added to an environment of conda"):
        await place.prepare(manager="conda", requirements=("env/gpu.yml", "tiny"))


def test_what_pip_gets_is_part_of_the_digest(place: Place) -> None:
    def digest() -> str:
        return detect(place.tree, Request()).digest

    place.write("environment.yml", FILE + "  - pip:\n    - -r more.txt\n  - numpy\n")
    place.write("more.txt", "six\n")
    first = digest()
    place.write("more.txt", "six<2\n")
    assert digest() != first
    assert not detect(place.tree, Request()).private
    place.write("environment.yml", FILE + "  - conda-forge/noarch::numpy\n  - pip:\n    - -e .\n")
    assert detect(place.tree, Request()).private
