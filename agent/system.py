"""What a task wants of the system below its environment: a set-up script and system packages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import EnvironmentFailed, SpawnFailed
from .attempts.command import Completed, Run

LOCK_SECONDS = 300
"""How long apt waits for another one that is at work in the same system."""


async def run_script(script: str, *, run: Run, cwd: Path, env: Mapping[str, str]) -> None:
    """Run a set-up script by bash, which ends at the first command that fails.

    Raises `EnvironmentFailed` with the last thing it said, or `SpawnFailed` without a bash.
    """
    done = await run(["bash", "-ec", script, "setup"], cwd=cwd, env=env)
    if done.exit_code != 0:
        raise EnvironmentFailed(
            "the set-up script failed",
            why=f"it ended with exit code {done.exit_code}: {_last(done)}",
            fix="evq logs --setup  # has all that it said",
        )


async def install_packages(
    names: Sequence[str], *, run: Run, env: Mapping[str, str], kept: Path | None
) -> None:
    """Install system packages by apt; `kept` is the folder for what is downloaded.

    Raises `EnvironmentFailed` with apt's own reason, or `SpawnFailed` where there is no apt.
    """
    apt = ["apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", *_keeping(kept)]
    variables = {**env, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "--no-install-recommends", "--", *names)):
        done = await run([*apt, *words], cwd=Path("/"), env=variables)
        if done.exit_code != 0:
            raise EnvironmentFailed(
                f"the system packages {', '.join(names)} cannot be installed",
                why=_errors(done),
                fix="check the names: apt-cache policy " + " ".join(names),
            )


async def are_installed(names: Sequence[str], *, run: Run, env: Mapping[str, str]) -> bool:
    """Whether all of them are there already. Which version is wanted only apt can compare."""
    if any("=" in name for name in names):
        return False
    shape = "--showformat=${binary:Package} ${Version} ${db:Status-Status}\\n"
    try:
        asked = await run(("dpkg-query", "--show", shape, *names), cwd=Path("/"), env=env)
    except SpawnFailed:
        return False
    states = [line.rpartition(" ")[2] for line in asked.output.splitlines()]
    return asked.exit_code == 0 and set(states) == {"installed"}


def check_script(allowed: bool) -> None:
    """Raise `EnvironmentFailed` where set-up scripts may not change the machine itself."""
    if not allowed:
        raise _refused("a set-up script", "--allow-setup")


def check_packages(allowed: bool) -> None:
    """The same for system packages, also where the agent's user cannot install any."""
    if not allowed:
        raise _refused("system packages", "--allow-apt")
    if os.getuid() != 0:
        raise EnvironmentFailed(
            "system packages cannot be installed on this machine",
            why="the agent does not run as root",
            fix="run the task in a container: --docker debian:12",
        )


def _refused(what: str, option: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{what} cannot be had on this machine",
        why="they would change it for everybody, and its administrator has not allowed that",
        fix=f"run the task in a container (--docker debian:12), or the agent with {option}",
    )


def _keeping(folder: Path | None) -> list[str]:
    """apt's options to keep downloads in `folder`, whatever the image's own settings are."""
    if folder is None:
        return []
    for name in ("archives/partial", "lists/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = (
        f"Dir::Cache::archives={folder}/archives",
        f"Dir::State::lists={folder}/lists",
        "APT::Keep-Downloaded-Packages=true",
        "Binary::apt-get::APT::Keep-Downloaded-Packages=true",
        # Its own user may not write there.
        "APT::Sandbox::User=root",
        "Dpkg::Use-Pty=0",
    )
    return [word for setting in settings for word in ("-o", setting)]


def _errors(done: Completed) -> str:
    said = [line[2:].strip() for line in done.output.splitlines() if line.startswith("E:")]
    return "; ".join(said) or _last(done)


def _last(done: Completed) -> str:
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
