"""Indexes, logins and constraints, by the managers that can be told of them at the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from index import CANARY, Index
from place import Place, Runs, versions

from evq.agent.attempts.command import Completed
from evq.agent.environments import Environment, Request, Toolbox, detect, prepare, this_machine
from evq.core.errors import EnvironmentFailed

managers = pytest.mark.parametrize("manager", ["uv", "pip"])


class Words(Runs):
    """A `Run` that remembers whole commands and what they said."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    async def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> Completed:
        done = await super().__call__(argv, cwd=cwd, env=env)
        self.words += [*argv, done.output]
        return done


async def make(
    place: Place, run: Runs, secrets: Mapping[str, str] | None = None, **request: object
) -> Environment:
    return await prepare(
        detect(place.tree, Request(**request)),  # type: ignore[arg-type]
        tree=place.tree,
        cache=place.cache,
        run=run,
        base_env=place.variables,
        secrets=secrets,
    )


@managers
async def test_an_index_is_looked_at_besides_the_usual_ones(
    place: Place, packages: Index, private: Index, manager: str
) -> None:
    place.variables |= {"PIP_INDEX_URL": packages.url}
    run, address = Words(), private.with_login("ada:${TOKEN}")
    request = {"manager": manager, "requirements": ("hidden", "tiny==1.0"), "indexes": (address,)}
    made = await make(place, run, {"TOKEN": CANARY}, **request)
    assert {"hidden", "tiny"} <= set(versions(made))
    # The password is in no argument and no output; without it, what was made is found again.
    forms = (CANARY, quote(CANARY, safe=""))
    assert not any(form in word for word in run.words for form in forms)
    assert (await make(place, run, **request)).key == made.key
    markers = [path.read_text() for path in (place.cache / "environments").glob("*.json")]
    assert markers and not any(form in marker for marker in markers for form in forms)


@managers
async def test_a_file_may_name_a_secret_too(place: Place, private: Index, manager: str) -> None:
    address = private.with_login("ada:${TOKEN}")
    place.write("requirements.txt", f"--index-url {address}\nhidden\n")
    # Here it is pip and uv that fill it in, as it is.
    secrets = {"TOKEN": quote(CANARY, safe="")}
    made = await make(place, Words(), secrets, manager=manager)
    assert versions(made)["hidden"] == "1.0"


@managers
async def test_a_secret_that_is_not_there_is_named(
    place: Place, private: Index, manager: str
) -> None:
    address = private.with_login("ada:${TOKEN}")
    with pytest.raises(EnvironmentFailed, match=r"no secret TOKEN for the index") as caught:
        await make(place, Words(), manager=manager, requirements=("hidden",), indexes=(address,))
    assert caught.value.fix == "--secret TOKEN"
    assert place.folders() == []


@managers
async def test_a_login_that_is_refused_is_said_without_the_password(
    place: Place, private: Index, manager: str
) -> None:
    place.variables |= {"PIP_INDEX_URL": private.with_login("ada:wrong-0ne")}
    with pytest.raises(EnvironmentFailed) as caught:
        await make(place, Words(), manager=manager, requirements=("hidden",))
    said = f"{caught.value} {caught.value.fix}"
    assert "401" in said or "credentials" in said.lower()
    assert "wrong-0ne" not in said


@managers
async def test_an_index_that_is_away_is_said_without_the_password(
    place: Place, manager: str
) -> None:
    place.variables |= {"UV_HTTP_RETRIES": "0", "PIP_RETRIES": "0"}
    place.variables["UV_CACHE_DIR"] = str(place.cache / "fresh")
    address = "http://ada:${TOKEN}@127.0.0.1:9/simple"
    with pytest.raises(EnvironmentFailed) as caught:
        await make(
            place,
            Words(),
            {"TOKEN": CANARY},
            manager=manager,
            requirements=("evq-test-no-such-package-8c1f",),
            indexes=(address,),
        )
    assert "127.0.0.1" in caught.value.why and CANARY not in str(caught.value)


@managers
async def test_a_constraint_limits_what_is_installed(
    place: Place, packages: Index, manager: str
) -> None:
    place.variables |= {"PIP_INDEX_URL": packages.url}
    request = {"manager": manager, "requirements": ("tiny",), "constraints": ("limits.txt",)}
    place.write("limits.txt", "tiny<2\n")
    old = await make(place, Words(), **request)
    place.write("limits.txt", "tiny<3\n")
    new = await make(place, Words(), **request)
    assert (versions(old)["tiny"], versions(new)["tiny"]) == ("1.0", "2.0")


async def test_a_constraint_that_is_not_there_is_named(place: Place) -> None:
    with pytest.raises(EnvironmentFailed, match=r"limits\.txt is not in the task's code"):
        await make(place, Words(), requirements=("tiny",), constraints=("limits.txt",))


async def test_the_build_of_torch_is_uvs_to_choose(place: Place, packages: Index) -> None:
    place.variables |= {"PIP_INDEX_URL": packages.url}
    run = Words()
    request = {"requirements": ("tiny",), "torch_backend": "cpu"}
    chosen = await make(place, run, **request)
    assert "--torch-backend=cpu" in run.words
    assert chosen.key != (await make(place, run, requirements=("tiny",))).key
    with pytest.raises(EnvironmentFailed, match="pip cannot grant --torch-backend") as caught:
        await make(place, run, manager="pip", **request)
    assert caught.value.fix == "--env uv"


async def test_an_image_has_environments_of_its_own(place: Place) -> None:
    recipe = detect(place.tree, Request())

    async def made(image: str) -> Environment:
        toolbox = this_machine()
        return await prepare(
            recipe,
            tree=place.tree,
            cache=place.cache,
            run=place.runs,
            base_env=place.variables,
            toolbox=Toolbox(
                uv=toolbox.uv,
                uv_version=toolbox.uv_version,
                platform=toolbox.platform,
                image=image,
            ),
        )

    here, inside = await made(""), await made("sha256:1")
    assert here.key != inside.key
    # Its interpreter lies in the image: the agent does not miss it.
    assert inside.path is not None
    (inside.path / "bin" / "python").unlink()
    assert (await made("sha256:1")).cached


async def test_an_agent_fills_a_secret_into_an_index(start_agent, queue, monkeypatch, private):
    monkeypatch.setenv("EVQ_SECRET_TOKEN", CANARY)
    start_agent([queue]).ready()
    code = "import hidden; print(hidden.__version__)"
    wish = {"requirements": ("hidden",), "indexes": (private.with_login("ada:${TOKEN}"),)}
    for cached in (False, True):
        task = await queue.run("python", "-c", code, manager="uv", secrets=("TOKEN",), **wish)
        assert await queue.lines(task.id, "o") == ["1.0"]
        _, phase = task.attempts[0].phases
        assert (phase.name, phase.cached) == ("environment", cached)
    bus = queue.client.bus
    stored = [*await bus.log.history("evq.>"), *await bus.telemetry.history("evqtel.>")]
    assert any(b"${TOKEN}" in one.data for one in stored)
    assert not any(quote(CANARY, safe="").encode() in one.data for one in stored)
    assert not any(CANARY.encode() in one.data for one in stored)
