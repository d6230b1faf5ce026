"""Somebody who reads the documents and copies what they show: in a folder of their own, with `evq`
on the PATH, and an `evq up` of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from waiting import PATIENCE

ROOT = Path(__file__).parents[1]
SECONDS = 200.0
"""How long one of the commands may take."""


def blocks(document: str, language: str) -> list[str]:
    """The blocks of a file such as docs/sweeps.md that are in a language, in their order."""
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


class Reader:
    """`home` is all that they have; `work` is where they work."""

    def __init__(self, home: Path, work: Path) -> None:
        self.work = work
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EVQ_", "NATS_"))}
        places = {"HOME": home, "EVQ_STORE": home / "store", "EVQ_CACHE_DIR": home / "cache"}
        self._environment = kept | {name: str(place) for name, place in places.items()}
        self._environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(self, *words: str) -> str:
        """What a command prints on stdout. It must succeed, without a warning."""
        done = subprocess.run(
            words,
            cwd=self.work,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        fine = done.returncode == 0 and "warning:" not in done.stderr
        assert fine, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def shell(self, script: str) -> str:
        """What a block of shell prints, which must succeed in each of its lines."""
        return self.run("bash", "-euo", "pipefail", "-c", script)

    def python(self, program: str) -> str:
        """What a program prints, run by a Python that has evq installed."""
        return self.run(sys.executable, "-P", "-c", program)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What the database answers, as soon as that is anything."""
        end = time.monotonic() + PATIENCE
        while not (rows := json.loads(self.run("evq", "sql", query, "--json"))):
            assert time.monotonic() < end, f"nothing after {PATIENCE:g} s: {query}"
        return list(rows)

    @contextmanager
    def running(self, *words: str) -> Iterator[IO[str]]:
        """What a command prints that goes on, until it is ended."""
        process = subprocess.Popen(
            words, cwd=self.work, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        with process:
            assert process.stdout
            try:
                yield process.stdout
            finally:
                process.terminate()


@contextmanager
def reading(home: Path, *options: str, work: Path | None = None) -> Iterator[Reader]:
    """A reader, while an `evq up` with these options is theirs. They work in `work`, or in a folder
    where nothing is."""
    work = work or home / "work"
    work.mkdir(exist_ok=True)
    reader = Reader(home, work)
    reader.run("evq", "up", "-d", *options)
    try:
        yield reader
    finally:
        reader.run("evq", "down")
