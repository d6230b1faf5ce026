"""What an agent's process is told on its command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from evq.agent.config import Config
from evq.agent.options import parse
from evq.core.errors import UsageError

LEAST = ("--queues", "a", "--state-dir", "/s", "--cache-dir", "/c")


def test_what_is_not_said_keeps_its_default() -> None:
    assert parse(LEAST) == Config(queues=("a",), state=Path("/s"), cache=Path("/c"))


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (("--lease", "2.5"), "lease", 2.5),
        (("--slots", "3"), "slots", 3),
        (("--no-wait",), "no_wait", True),
        (("--extra-ca", "/e"), "extra_ca", Path("/e")),
        (("--max-timeout", "60"), "max_timeout", 60.0),
        (("--pass-env", "A,B*"), "pass_env", ("A", "B*")),
        (("--docker-args=--network host",), "docker_args", ("--network", "host")),
        (("--docker-for", "a=x:1,b=y"), "docker_for", {"a": "x:1", "b": "y"}),
        (("--docker-allow", "volume"), "docker_allow", frozenset({"volume"})),
        (("--cache-kinds", "images=1KiB"), "cache_kinds", {"images": 1024}),
    ],
)
def test_every_kind_of_option(words: tuple[str, ...], field: str, value: object) -> None:
    assert getattr(parse((*LEAST, *words)), field) == value


def test_a_value_of_the_wrong_kind() -> None:
    with pytest.raises(UsageError, match=r"\$\.slots"):
        parse((*LEAST, "--slots", "many"))
