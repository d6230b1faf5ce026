"""What docs/cleaning.md shows runs as it stands there, on an `evq up`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evq.services.clean.policy import CacheRule, Policy, Rule, read_policy

DOCUMENT = (Path(__file__).parents[2] / "docs" / "cleaning.md").read_text()
(POLICY,) = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.M | re.S)
COMMANDS = re.findall(r"^evq (clean .*?)(?: *#.*)?$", DOCUMENT, re.M)

Evq = Callable[..., subprocess.CompletedProcess[str]]


def test_every_word_is_in_a_table() -> None:
    tabled = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", DOCUMENT, re.M))))
    words = {*Rule.__struct_fields__, *CacheRule.__struct_fields__, *Policy.__struct_fields__}
    assert words - {"rules", "caches"} <= tabled
    assert len(read_policy(POLICY, "clean.toml").rules) == 3


@pytest.fixture
def evq(tmp_path: Path) -> Iterator[Evq]:
    """The command line of a user of an `evq up` of one's own, in a folder of one's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVQ_", "NATS_"))}
    environment = {**kept, "EVQ_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)}
    environment["EVQ_CACHE_DIR"] = str(tmp_path / "cache")
    folder = tmp_path / "lab"
    folder.mkdir()

    def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "evq.cli.main", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == status, done.stderr
        return done

    (folder / "clean.toml").write_text(POLICY)
    everything = re.sub(r'older = "\d+d"', 'older = "0s"', POLICY).partition("[[caches]]")[0]
    # The controller's task may have ended, too: it is of the queue of services.
    which = 'state = ["failed", "completed"]\nqueue = ["default"]'
    everything = re.sub(r"state = .*", which, everything)
    (folder / "everything.toml").write_text('min_age = "0s"\n' + everything)
    run("up", "-d", "--no-ui", "--slots", "2", "--listen", "127.0.0.1:0")
    yield run
    run("down")


@pytest.mark.timeout(600)
def test_the_commands_do_what_is_said(evq: Evq) -> None:
    task = evq("enqueue", "-q", "default", "--env", "none", "--", "echo", "hello").stdout.split()[0]
    evq("wait", "@")
    for command in COMMANDS:
        evq(*command.split())
    assert "is stopped" in evq("clean", "show", "nightly").stdout
    assert evq("logs", "@").stdout == "hello\n"
    dry = evq("clean", "run", "everything.toml")
    assert "nothing was changed" in dry.stderr and re.search(r"\b1 task, about", dry.stderr)
    assert evq("logs", "@").stdout == "hello\n"
    assert "1 task cleaned" in evq("clean", "run", "everything.toml", "--apply").stdout
    said = evq("logs", "@")
    assert said.stdout == "" and "logs were removed on" in said.stderr
    assert re.search(r"gone +logs removed on .* rule 1: logs", evq("show", "@").stdout)
    removals = "select what, count(*) as n from removals group by what"
    assert evq("sql", removals, "--json").stdout.count('"logs"') == 1
    assert task
