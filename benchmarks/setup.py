"""How long set-up takes: an agent's own phases beside the plain tools, in the same run.

uv run python benchmarks/setup.py [--cold 4] [--warm 9] [--write]

Numpy and 31 other packages, pinned in setup-requirements.txt. `cold` begins with empty caches and
so depends on the package index and the way to it: the tools take turns, so that all of them see
the same weather. `--write` writes the table to docs/setup-times.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import uv
from ground import agent, client, folder, line, server

from evq.core.bus.connect import Login
from evq.core.sdk.client import Client
from evq.core.state import Attempt, Ended

PINS = Path(__file__).with_name("setup-requirements.txt")
PAGE = Path(__file__).parents[1] / "docs/setup-times.md"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FILES = 300
"""How many small files the repository of the tasks has."""

Figures = dict[str, list[float]]
"""Seconds of each run, by what was measured."""


def seconds(*argvs: list[str], env: Mapping[str, str]) -> float:
    """How long these commands take, one after the other."""
    began = time.perf_counter()
    for argv in argvs:
        subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


# --- the plain tools --------------------------------------------------------------------------


class Tools:
    """The plain tools, with caches of their own in `home`."""

    def __init__(self, home: Path, virtualenv: Path) -> None:
        self._home = home
        self._virtualenv = virtualenv
        self._count = 0
        own = ("VIRTUAL_ENV", "UV_CACHE_DIR", "PIP_CACHE_DIR")
        kept = {name: value for name, value in os.environ.items() if name not in own}
        self._env = {
            **kept,
            "UV_CACHE_DIR": str(home / "uv"),
            "PIP_CACHE_DIR": str(home / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def _place(self) -> str:
        self._count += 1
        return str(self._home / f"venv-{self._count}")

    def uv(self) -> float:
        place, program = self._place(), uv.find_uv_bin()
        return seconds(
            [program, "venv", "-q", "--no-project", f"--python={PYTHON}", place],
            [program, "pip", "install", "-q", f"--python={place}/bin/python", "-r", str(PINS)],
            env=self._env,
        )

    def venv_and_pip(self) -> float:
        place = self._place()
        python = os.path.realpath(sys.executable)
        return seconds([python, "-m", "venv", place], self._pip(place), env=self._env)

    def virtualenv_and_pip(self) -> float:
        place = self._place()
        made = [str(self._virtualenv), "-q", f"--python={PYTHON}", place]
        return seconds(made, self._pip(place), env=self._env)

    def _pip(self, place: str) -> list[str]:
        return [f"{place}/bin/python", "-m", "pip", "install", "-qq", "-r", str(PINS)]


TOOLS: dict[str, Callable[[Tools], float]] = {
    "uv venv + uv pip install": Tools.uv,
    "python -m venv + pip": Tools.venv_and_pip,
    "virtualenv + pip": Tools.virtualenv_and_pip,
}


# --- the agent --------------------------------------------------------------------------------


class Bench:
    """A private server, and a repository whose tasks need the packages."""

    def __init__(self, home: Path, login: Login, opened: Client) -> None:
        self._login = login
        self._client = opened
        self.work = repository(home)
        self._env = {
            **os.environ,
            "HOME": str(home),
            "EVQ_SERVER": login.server,
            "EVQ_TOKEN": login.token or "",
        }

    async def run(self, *words: str) -> Attempt:
        """Enqueue by the command line; the attempt, when the task has completed."""
        evq = str(Path(sys.executable).with_name("evq"))
        process = await asyncio.create_subprocess_exec(
            *(evq, "enqueue", "--json", *words),
            cwd=self.work,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        name = msgspec.json.decode(said)["task"]
        while not isinstance((task := await self._client.get(name)).state, Ended):
            await asyncio.sleep(0.01)
        assert task.name_of_state == "completed", task.state
        return task.attempts[0]

    async def cold(self, home: Path) -> Attempt:
        """A task on an agent that has never seen anything."""
        with agent(home, self._login, "--queues", "default"):
            return await self.run("train.py")

    async def warm(self, home: Path, runs: int) -> tuple[list[Attempt], list[Attempt]]:
        """Tasks on an agent that knows all they need, and tasks that need nothing."""
        full, bare = list[Attempt](), list[Attempt]()
        with agent(home, self._login, "--queues", "default"):
            for _ in range(runs + 1):
                full.append(await self.run("train.py"))
                bare.append(await self.run("--no-code", "--", "true"))
        return full[1:], bare[1:]


def repository(home: Path) -> Path:
    """A git repository with some files, the pinned packages, and an uncommitted change."""
    work = home / "work"
    (work / "data").mkdir(parents=True)
    for number in range(FILES):
        (work / f"data/{number}.txt").write_text(f"{number}\n" * 50)
    (work / "train.py").write_text("import numpy, rich\nprint(numpy.__version__)\n")
    shutil.copy(PINS, work / "requirements.txt")
    (work / ".python-version").write_text(f"{PYTHON}\n")
    git = ("git", "-C", str(work), "-c", "user.name=b", "-c", "user.email=b@localhost")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *words], check=True)
    (work / "train.py").write_text("import numpy\nprint(numpy.__version__)\n")
    return work


def phase(attempt: Attempt, name: str) -> float:
    """The seconds of one step."""
    return sum(one.seconds or 0.0 for one in attempt.phases if one.name == name)


def until_start(attempt: Attempt) -> float:
    """The seconds from the claim to the start of the command."""
    assert attempt.launch
    return (attempt.launch.at - attempt.claimed) / 1e6


# --- the run ----------------------------------------------------------------------------------


async def measure(home: Path, login: Login, cold: int, warm: int) -> Figures:
    """Everything, the tools and the agent taking turns."""
    figures: Figures = {}

    def note(what: str, *values: float) -> None:
        figures.setdefault(what, []).extend(values)

    virtualenv = install_virtualenv(home)
    async with client(login) as opened:
        bench = Bench(home, login, opened)
        for turn in range(cold):
            place = home / f"cold-{turn}"
            tools = Tools(place, virtualenv)
            # Whoever comes first may find the index slower than the next: nobody always does.
            agent_first = turn % 2 == 0
            attempt = await bench.cold(place) if agent_first else None
            for name, tool in TOOLS.items():
                note(f"cold {name}", await asyncio.to_thread(tool, tools))
            attempt = attempt or await bench.cold(place)
            note("cold agent, environment", phase(attempt, "environment"))
            note("cold agent, code", phase(attempt, "code"))
            note("cold git clone", await asyncio.to_thread(clone, bench.work, place))
        last = home / f"cold-{cold - 1}"
        for _ in range(warm):
            for name, tool in TOOLS.items():
                note(f"warm {name}", await asyncio.to_thread(tool, tools))
            note("warm git clone", await asyncio.to_thread(clone, bench.work, last))
        full, bare = await bench.warm(last, warm)
        note("warm agent, environment", *(phase(one, "environment") for one in full))
        note("warm agent, code", *(phase(one, "code") for one in full))
        note("warm agent, claim to start", *map(until_start, full))
        note("bare agent, claim to start", *map(until_start, bare))
    return figures


def clone(work: Path, place: Path) -> float:
    """`git clone` of the same repository, over the protocol and not by links."""
    target = place / "clone"
    shutil.rmtree(target, ignore_errors=True)
    return seconds(["git", "clone", "-q", f"file://{work}", str(target)], env=os.environ)


def install_virtualenv(home: Path) -> Path:
    """virtualenv, in an environment of its own."""
    place, program = home / "tool", uv.find_uv_bin()
    seconds(
        [program, "venv", "-q", "--no-project", str(place)],
        [program, "pip", "install", "-q", f"--python={place}/bin/python", "virtualenv"],
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
    )
    return place / "bin/virtualenv"


def table(figures: Figures) -> list[str]:
    """The page's table: medians, and beside them how often uv fits in."""
    middle = {name: statistics.median(values) for name, values in figures.items()}
    rows = ["| | cold | warm | cold, times uv |", "|---|---:|---:|---:|"]
    uv_cold = middle["cold uv venv + uv pip install"]
    for name in (*TOOLS, "agent, environment"):
        cold, warm = middle[f"cold {name}"], middle[f"warm {name}"]
        shown = f"**{name}**" if name.startswith("agent") else f"`{name}`"
        rows.append(f"| {shown} | {_text(cold)} | {_text(warm)} | {cold / uv_cold:.2f} |")
    for name in ("git clone", "agent, code"):
        cold, warm = middle[f"cold {name}"], middle[f"warm {name}"]
        shown = f"**{name}**" if name.startswith("agent") else f"`{name}`"
        rows.append(f"| {shown} | {_text(cold)} | {_text(warm)} | |")
    return rows


def _text(value: float) -> str:
    if value < 0.001:
        return "< 1 ms"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.0f} ms"


def _range(values: list[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f} s"


def added(figures: Figures) -> float:
    """What a warm set-up adds to a task: beside one that needs neither code nor packages."""
    full, bare = (
        statistics.median(figures[f"{kind} agent, claim to start"]) for kind in ("warm", "bare")
    )
    return full - bare


PAGE_TEXT = """\
# Set-up times

Made by `uv run python benchmarks/setup.py --write`, all tools in the same run, in turns. A project
with {packages} pinned packages (numpy among them), {files} files and an uncommitted change, on
{cores} cores that other work shares; medians of {cold} cold and {warm} warm runs. *Cold* has empty
caches and downloads everything. *Warm* has all of it in its cache; the plain tools still make a new
environment each time, where an agent finds the one that it made.

{table}

Cold runs are as quick as the index is at that moment: uv took {uv_range}, the agent {agent_range}.

A warm set-up adds **{added:.0f} ms** to a task, from its claim to the start of its command, beside
a task that needs neither code nor packages.
"""


def page(figures: Figures) -> str:
    """docs/setup-times.md."""
    return PAGE_TEXT.format(
        packages=sum(1 for pin in PINS.read_text().splitlines() if "==" in pin),
        files=FILES,
        cores=os.cpu_count(),
        cold=len(figures["cold agent, environment"]),
        warm=len(figures["warm agent, environment"]),
        table="\n".join(table(figures)),
        uv_range=_range(figures["cold uv venv + uv pip install"]),
        agent_range=_range(figures["cold agent, environment"]),
        added=added(figures) * 1e3,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", type=int, default=4)
    parser.add_argument("--warm", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with folder() as home, server(home) as login:
        figures = asyncio.run(measure(home, login, options.cold, options.warm))
    for name, values in figures.items():
        low, high = min(values) * 1e3, max(values) * 1e3
        line(name, f"{statistics.median(values) * 1e3:.0f} ms", f"{low:.0f} to {high:.0f}")
    line("a warm set-up adds to a task", f"{added(figures) * 1e3:.0f} ms")
    if options.write:
        PAGE.write_text(page(figures))


if __name__ == "__main__":
    main()
