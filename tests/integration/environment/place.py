"""A place where environments are made, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uv

from evq.agent.attempts.command import Completed
from evq.agent.environments import Environment, Request, detect, prepare

OLD_SIX = "six==1.16.0"
HEADER = f'# /// script\n# requires-python = ">=3.9"\n# dependencies = ["{OLD_SIX}"]\n# ///\n'
PROJECT = f"""
[project]
name = "mine"
version = "1.5"
requires-python = ">=3.9"
dependencies = ["{OLD_SIX}"]
[project.scripts]
mine = "mine:main"
[dependency-groups]
dev = ["iniconfig"]
"""
PACKAGE = (
    PROJECT + '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
)


class Runs:
    """A `Run` that really runs, and remembers what."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    async def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> Completed:
        self.commands.append(argv[1])
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return Completed(process.returncode, output.decode())


class Place:
    """A work tree, a cache, and what the agent passes on of its environment."""

    def __init__(self, root: Path, variables: Mapping[str, str]) -> None:
        self.tree = root / "tree"
        self.cache = root / "cache"
        self.variables = dict(variables)
        self.runs = Runs()
        self.tree.mkdir(parents=True)

    def write(self, path: str, content: str) -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(content)

    def uv(self, *arguments: str) -> None:
        subprocess.run(
            [uv.find_uv_bin(), *arguments],
            cwd=self.tree,
            env=self.variables,
            check=True,
            capture_output=True,
        )

    async def prepare(self, run: Runs | None = None, **request: Any) -> Environment:
        recipe = detect(self.tree, Request(**request))
        return await prepare(
            recipe,
            tree=self.tree,
            cache=self.cache,
            run=run or self.runs,
            base_env=self.variables,
        )

    def python(self, environment: Environment, code: str) -> str:
        """What `python -c code` prints in the environment, `python` found by PATH."""
        done = subprocess.run(
            ["python", "-c", code],
            cwd=self.tree,
            env=environment.apply(self.variables),
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def python3(self, code: str) -> str:
        """What the machine's own `python3 -c code` prints."""
        done = subprocess.run(
            ["python3", "-c", code], env=self.variables, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def folders(self) -> list[Path]:
        return [path for path in (self.cache / "environments").iterdir() if path.is_dir()]


def versions(environment: Environment) -> dict[str, str]:
    return {package.name: package.version for package in environment.packages}
