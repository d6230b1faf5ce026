"""The options of `evq agent` that say when it works, how it ends, and whether it runs services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from ...core import units
from ...core.errors import UsageError
from ...core.fleet.schedule import parse_schedule
from ...core.fleet.services import QUEUE, SLOTS, parse_limits

_F = TypeVar("_F", bound=Callable[..., Any])


def duty_options(command: _F) -> _F:
    """Add these options to a command, which gets them together as `**duty`."""
    for option in reversed(
        (
            click.option(
                "--services",
                is_flag=False,
                flag_value=SLOTS,
                type=click.IntRange(min=1),
                metavar="[N]",
                help=f"Run up to N light tasks at once, each with limits of its own.  [{SLOTS}]",
            ),
            click.option(
                "--service-limits",
                metavar="LIMITS",
                help="What a service may use that asks for nothing.  "
                "[memory=512MiB,cpus=1,processes=256]",
            ),
            click.option(
                "--schedule",
                metavar="WINDOWS",
                help='When it works, such as "mon-fri 20:00-08:00; sat,sun".',
            ),
            click.option(
                "--time-zone", metavar="NAME", help="The schedule's time zone.  [this machine's]"
            ),
            click.option(
                "--outside",
                type=click.Choice(["finish", "give-back"]),
                metavar="KIND",
                help="What running tasks do when the schedule closes: finish or give-back.",
            ),
            click.option(
                "--drain-timeout",
                metavar="TIME",
                help="Told to stop, give tasks back after that long.  [wait for their end]",
            ),
        )
    ):
        command = option(command)
    return command


def duty_words(duty: Mapping[str, Any], slots: int | None, gpus: str | None) -> list[str]:
    """These options as the agent's process takes them. Raises `UsageError`."""
    if duty["services"] and slots:
        raise UsageError(
            "--services and --slots say both how many tasks run at once",
            why=f"--services {duty['services']}, --slots {slots}",
            fix=f"--services {slots}",
        )
    if duty["services"] and gpus not in (None, "none"):
        raise UsageError(
            "services have no GPUs",
            why=f"--services and --gpus {gpus} do not go together",
            fix="another agent for tasks with GPUs, beside the one for services",
        )
    if duty["schedule"]:
        parse_schedule(duty["schedule"])
    if duty["service_limits"]:
        parse_limits(duty["service_limits"])
    timeout = duty["drain_timeout"]
    words = {
        "--slots": duty["services"],
        "--service-limits": duty["service_limits"],
        "--schedule": duty["schedule"],
        "--time-zone": duty["time_zone"],
        "--outside": duty["outside"],
        "--drain-timeout": f"{units.seconds(timeout):g}" if timeout else None,
    }
    given = [f"{name}={value}" for name, value in words.items() if value]
    return given + ["--services", "--gpus=none"] * bool(duty["services"])


def default_queue(duty: Mapping[str, Any], setting: str) -> str:
    """The queue that is served if none is named."""
    return QUEUE if duty["services"] else setting
