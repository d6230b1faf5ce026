"""What docs/sweeps.md shows runs as it stands there, on an `evq up`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evq.services.sweep.definition import Definition, read_definition

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "sweeps.md").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Runs Python in the checkout, as a user of an `evq up` of one's own."""
    folder = tmp_path_factory.mktemp("sweeps")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVQ_", "NATS_"))}
    environment = {**kept, "EVQ_STORE": str(folder / "store"), "HOME": str(folder)}
    environment["EVQ_CACHE_DIR"] = str(folder / "cache")

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = ("-m", "evq.cli.main")
    run(*command, "up", "-d", "--no-ui", "--slots", "4", "--listen", "127.0.0.1:0")
    yield run
    run(*command, "down")


def test_the_file_is_a_sweep() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.M | re.S)
    name, definition = read_definition(text)
    assert (name, len(definition.space)) == ("lr-search", 4)


def test_every_field_is_in_a_table() -> None:
    fields = {name.replace("_", "-") for name in Definition.__struct_fields__}
    tabled = set(re.findall(r"`([\w-]+)`", " ".join(re.findall(r"^\| (`.*?) \|", DOCUMENT, re.M))))
    assert fields - {"space", "objective", "prune"} <= tabled
    assert tomllib.loads((ROOT / "examples" / "sweep.toml").read_text()).keys() <= fields | {"name"}


@pytest.mark.timeout(240)
def test_the_program_finds_the_best(run: Callable[..., str]) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.M | re.S)
    *words, best = run("-c", program).splitlines()
    assert len([one for one in words if re.match(r"trial \d+: ", one)]) == 12
    assert "all 12 trials are done; the best is trial" in words[-1]
    assert best.startswith("{'lr': ")
    evq = ("-m", "evq.cli.main", "sweep")
    command = run(*evq, "best", "from-python", "--command")
    assert command.startswith("evq run --set lr=")
    assert command.endswith(" -q default curve.py -- --steps 20\n")
