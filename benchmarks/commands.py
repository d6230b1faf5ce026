"""Commands as whole processes, beside what starting Python alone costs here; then those that change
all members of an array.

uv run python benchmarks/commands.py [--runs 15] [--members 2000]
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


def once(argv: Sequence[str], env: dict[str, str], cwd: Path) -> tuple[float, str]:
    """The seconds that a whole process takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(argv, env=env, cwd=cwd, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, done.stdout.strip()


def seconds(argv: Sequence[str], runs: int, env: dict[str, str], cwd: Path) -> float:
    """The median time of a whole process, after one run to warm up."""
    return statistics.median([once(argv, env, cwd)[0] for _ in range(runs + 1)][1:])


def change_all(evq: str, indexes: str, env: dict[str, str], cwd: Path) -> None:
    """Change all members of an array, of which nobody runs any."""
    took, array = once(
        [evq, "enqueue", "--no-code", "--quiet", "--array", indexes, "--", "true"], env, cwd
    )
    line(f"evq enqueue --array {indexes}", f"{took:.1f} s")
    for words in (["tag", "--add", "x"], ["abort"], ["archive"], ["retry"], ["abort"]):
        took, _ = once([evq, *words, array], env, cwd)
        line(f"evq {words[0]}, all of them", f"{took:.1f} s")


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
    parser.add_argument("--members", type=int, default=2000)
    options = parser.parse_args()
    runs, last = options.runs, options.members - 1
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
        for indexes in (f"0-{last}", f"0-{last}%8"):
            change_all(evq, indexes, env, work)


if __name__ == "__main__":
    main()
