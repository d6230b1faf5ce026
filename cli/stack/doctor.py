"""`evq doctor`: is everything that evq needs in order? Each line is a fact that was checked."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from ...core.errors import EvqError
from ...core.ports import BusAway
from ...core.questions import Head, Named
from ...core.settings import Settings
from ...core.units import size_text
from .. import output
from ..calling import call, configuration, settings
from ..options import json_option
from ..tasks.render import span
from .store import Store, filesystem

if TYPE_CHECKING:
    from ...core.sdk.client import Client

Level = Literal["ok", "warn", "fail"]
LITTLE_DISK = 5 * 2**30
MUCH_SKEW = 2.0
FAR_BEHIND = 10_000
OLD_GIT = (2, 31)


class Check(msgspec.Struct, frozen=True):
    """One fact: `fix` says what to do unless all is well."""

    name: str
    level: Level
    text: str
    fix: str = ""


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check that everything evq needs is in order; ends with 1 if something is not.

    \b
    Examples:
      evq doctor
      evq doctor --json | jq '.[] | select(.level != "ok")'
    """
    checks = [*_machine(settings()), *_server()]
    if as_json:
        output.say_json(checks)
    else:
        for check in checks:
            _print(check)
    raise SystemExit(1 if any(check.level == "fail" for check in checks) else 0)


def _print(check: Check) -> None:
    color = {"ok": "green", "warn": "yellow", "fail": "red"}[check.level]
    output.say(f"{click.style(f'{check.level:<4}', fg=color)}  {check.name:<12}  {check.text}")
    if check.fix:
        output.say(f"      {'':<12}  {output.dim('fix:')} {check.fix}")


def _machine(known: Settings) -> list[Check]:
    return [_python(), _git(), _uv(), _disk(known), _file_system(known)]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", f"{version} at {sys.executable}")


def _version_of(program: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _git() -> Check:
    found = _version_of("git")
    if found is None:
        return Check("git", "fail", "not found: code cannot be sent", "install git 2.31 or newer")
    numbers = found.split()[2].split(".")[:2] if len(found.split()) > 2 else []
    if all(one.isdigit() for one in numbers) and tuple(map(int, numbers)) < OLD_GIT:
        return Check("git", "warn", f"{found} is old", "install git 2.31 or newer")
    return Check("git", "ok", found)


def _uv() -> Check:
    beside = Path(sys.executable).with_name("uv")
    found = _version_of(str(beside)) or _version_of("uv")
    if found is None:
        return Check(
            "uv", "warn", "not found: an agent here cannot build environments", "pip install uv"
        )
    return Check("uv", "ok", found)


def _disk(known: Settings) -> Check:
    place = _existing(Path(known.store))
    free = shutil.disk_usage(place).free
    text = f"{size_text(free)} free at {place}"
    if free < LITTLE_DISK:
        return Check("disk", "warn", text, f"free some space; {known.cache_dir} can be made again")
    return Check("disk", "ok", text)


def _file_system(known: Settings) -> Check:
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return Check("store", "ok", known.store)
    place = _existing(Path(known.store))
    kind = filesystem(place, mounts.read_text())
    text = f"{known.store} on {kind}"
    from .store import check_disk

    try:
        warning = check_disk(place, mounts.read_text())
    except EvqError as error:
        return Check("store", "fail", error.what, error.fix)
    return Check("store", "warn" if warning else "ok", warning or text)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _server() -> list[Check]:
    origin = configuration().origins["server"]
    try:
        return call(lambda client: _connected(client, str(origin)))
    except EvqError as error:
        return [Check("server", "fail", f"{error.what}: {error.why}", error.fix.splitlines()[0])]


async def _connected(client: Client, origin: str) -> list[Check]:
    known = settings()
    version = client.bus.client.connected_server_version
    number = f"{version.major}.{version.minor}.{version.patch}"
    checks = [Check("server", "ok", f"nats-server {number} at {known.server} ({origin})")]
    try:
        await client.bus.prepare()
    except (EvqError, BusAway) as error:
        fix = error.fix if isinstance(error, EvqError) else "give its configuration a jetstream {}"
        return [*checks, Check("streams", "fail", str(error), fix)]
    checks.append(_durable(known))
    checks.append(await _clock(client))
    checks += [await _projector(client), await _agents(client)]
    return checks


def _durable(known: Settings) -> Check:
    up = Store(Path(known.store)).up()
    if up is None or up.url != known.server:
        return Check(
            "durable",
            "ok",
            "not known from here: see sync_interval in that server's configuration",
        )
    if up.sync == "always":
        return Check("durable", "ok", "every event is on the disk before it is acknowledged")
    return Check(
        "durable",
        "warn",
        f"a power cut loses up to {up.sync} of events",
        "evq down; evq up --sync always",
    )


async def _clock(client: Client) -> Check:
    """The server's clock, from the time in its answer, halfway between asking and hearing."""
    asked = time.time()
    answer = msgspec.json.decode(await client.bus.requests.api("STREAM.INFO.EVQ"))
    heard = time.time()
    skew = _unix(answer.get("ts", "")) - (asked + heard) / 2 if answer.get("ts") else 0.0
    text = f"{span(abs(skew))} {'ahead of' if skew > 0 else 'behind'} ours"
    if abs(skew) - (heard - asked) > MUCH_SKEW:
        fix = "let both machines take their time from the same place (timedatectl)"
        return Check("clock", "warn", f"the server's is {text}", fix)
    return Check("clock", "ok", f"the server's is {text}")


def _unix(written: str) -> float:
    from datetime import datetime

    # NATS writes nanoseconds, Python reads microseconds.
    head, _, fraction = written.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6] or '0'}+00:00").timestamp()


async def _projector(client: Client) -> Check:
    fix = "evq projector, or evq up on the machine that shall keep the database"
    try:
        async with asyncio.timeout(5):
            async for part in client.answer(Named("status")):
                if isinstance(part, Head):
                    level: Level = "warn" if part.behind > FAR_BEHIND else "ok"
                    return Check(
                        "projector", level, f"answers, {part.behind} events behind the log"
                    )
    except (EvqError, TimeoutError) as error:
        what = error.what if isinstance(error, EvqError) else "no answer in 5 s"
        return Check("projector", "warn", f"{what}: ls, sql and metrics need one", fix)
    return Check("projector", "warn", "it gave an empty answer", fix)


async def _agents(client: Client) -> Check:
    agents = await client.agents()
    if not agents:
        return Check("agents", "warn", "nobody runs tasks", "evq agent")
    names = ", ".join(f"{one.agent} ({', '.join(one.queues)})" for one in agents)
    return Check("agents", "ok", names)
