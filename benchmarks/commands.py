"""Commands as whole processes, beside what starting Python alone costs here.

uv run python benchmarks/commands.py [--runs 15]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ground import client, folder, line, server

from evq.core.bus.connect import Login


def seconds(argv: Sequence[str], runs: int, env: dict[str, str], cwd: Path) -> float:
    """The median time of a whole process, after one run to warm up."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(argv, env=env, cwd=cwd, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def repository(home: Path) -> Path:
    """A small git repository with an uncommitted change."""
    work = home / "work"
    work.mkdir()
    git = ("git", "-C", str(work), "-c", "user.name=b", "-c", "user.email=b@localhost")
    (work / "train.py").write_text("print('hello')\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *words], check=True)
    (work / "train.py").write_text("print('changed')\n")
    return work


async def prepare(login: Login) -> None:
    """Make the streams, so that the first enqueue is like all others."""
    async with client(login):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    evq = str(Path(sys.executable).with_name("evq"))
    with folder() as home, server(home) as login:
        asyncio.run(prepare(login))
        work = repository(home)
        env = {
            **os.environ,
            "HOME": str(home),
            "EVQ_SERVER": login.server,
            "EVQ_TOKEN": login.token or "",
        }
        bare = seconds([sys.executable, "-c", "pass"], runs, env, work)
        line("python -c pass", f"{bare * 1e3:.0f} ms", "limit")
        commands = {
            "evq --help": ["--help"],
            "evq enqueue -- true, no code": ["enqueue", "--no-code", "--", "true"],
            "evq enqueue train.py, changed, in git": ["enqueue", "train.py"],
        }
        for what, words in commands.items():
            took = seconds([evq, *words], runs, env, work)
            line(what, f"{took * 1e3:.0f} ms", f"{took / bare:.1f} x")


if __name__ == "__main__":
    main()
