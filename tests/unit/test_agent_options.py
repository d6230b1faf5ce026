"""What an agent's process is told on its command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from evq.agent.config import Config
from evq.agent.options import parse
from evq.cli.fleet.agent import words_of
from evq.core.errors import UsageError
from evq.core.fleet.served import GpuCount
from evq.core.settings import Settings

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
        (("--queue-gpus", "a=2,b=1-4"), "queue_gpus", {"a": GpuCount(2, 2), "b": GpuCount(1, 4)}),
        (("--cache-kinds", "images=1KiB"), "cache_kinds", {"images": 1024}),
    ],
)
def test_every_kind_of_option(words: tuple[str, ...], field: str, value: object) -> None:
    assert getattr(parse((*LEAST, *words)), field) == value


SET: dict[str, tuple[object, object]] = {
    "lease": (20.0, 20.0),
    "grace": (5.0, 5.0),
    "keep": (0.0, 0.0),
    "gather": (30.0, 30.0),
    "address": ("10.0.0.7", "10.0.0.7"),
    "on_disconnect": ("stop", "stop"),
    "artifacts": ("s3://b/p", "s3://b/p"),
    "artifact_bytes": (3, 3),
    "log_bytes": (1, 1),
    "spool_bytes": (2, 2),
    "docker": ("debian:12", "debian:12"),
    "docker_args": ("--network host", ("--network", "host")),
    "docker_allow": ("volume,gpus", frozenset({"volume", "gpus"})),
    "extra_ca": ("/ca", Path("/ca")),
    "git_credentials": ("/git", Path("/git")),
    "git_protocol": ("https", "https"),
    "git_ssh": ("ssh -v", "ssh -v"),
    "pass_env": (("A", "B*"), ("A", "B*")),
    "secrets_env": (("C",), ("C",)),
    "secrets_file": ("/secrets", Path("/secrets")),
    "gpus": ("0-3", "0-3"),
    "gpu_readings": ("/gpus.json", Path("/gpus.json")),
    "gpu_foreign": (4, 4),
    "limits": ("require", "require"),
    "max_timeout": (60.0, 60.0),
    "patience": (5.0, 5.0),
    "disk_floor": (1024, "1024"),
    "cache_bytes": (3, 3),
    "cache_kinds": ("images=1KiB", {"images": 1024}),
    "trackers": ("mlflow", frozenset({"mlflow"})),
    "sample_every": (1.0, 1.0),
    "report_every": (0.0, 0.0),
    "quiet_after": (60.0, 60.0),
}
"""What is set, and what the agent's process makes of it."""


def test_every_setting_of_an_agent_reaches_its_process() -> None:
    names = {field.name for field in msgspec.structs.fields(Config)}
    assert SET.keys() == names & {field.name for field in msgspec.structs.fields(Settings)}
    known = {name: value for name, (value, _) in SET.items()}
    settings = Settings(store="/x", state_dir="/s", cache_dir="/c", **known)  # type: ignore[arg-type]
    told = parse(("--queues", "a", *words_of(settings)))
    assert (told.state, told.cache) == (Path("/s"), Path("/c"))
    assert {name: getattr(told, name) for name in SET} == {n: made for n, (_, made) in SET.items()}


def test_a_value_of_the_wrong_kind() -> None:
    with pytest.raises(UsageError, match=r"\$\.slots"):
        parse((*LEAST, "--slots", "many"))
