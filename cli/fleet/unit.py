"""`evq agent --install-service`: the agent as a service of systemd, with the options it was given.

The unit names absolute paths and no secret. What a login needs, and every other setting that is
not the default, stands in a file of variables beside it that its owner alone can read.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import platformdirs
from click.core import ParameterSource

from ...core import units
from ...core.configuration import Configuration
from ...core.errors import EvqError, UsageError
from ...core.settings import PATHS, SETTINGS, variable
from .. import output

_F = TypeVar("_F", bound=Callable[..., Any])

DRAIN_SECONDS = 60
"""How long tasks may run on when the service is stopped, unless --drain-timeout says it."""

SPARE_SECONDS = 30
"""What an agent has beyond that and its grace, before systemd kills it."""

NOT_ITS_OWN = frozenset({"install_service", "for_user", "print_service"})


class Unit(msgspec.Struct, frozen=True):
    """A unit of systemd, and the file of variables that it reads."""

    name: str
    path: Path
    text: str
    variables: Path
    values: Mapping[str, str]
    commands: tuple[str, ...]

    @property
    def variables_text(self) -> str:
        """The file of variables, in the words of systemd.exec(5)."""
        return "".join(f"{name}={_quoted(value)}\n" for name, value in self.values.items())


def unit_options(command: _F) -> _F:
    """Add the options of this file to a command, which gets them together as `**unit`."""
    for option in reversed(
        (
            click.option(
                "--install-service",
                is_flag=True,
                help="Do not run, but write a unit of systemd that does.",
            ),
            click.option(
                "--user",
                "for_user",
                is_flag=True,
                help="With --install-service: for this user alone.",
            ),
            click.option(
                "--print",
                "print_service",
                is_flag=True,
                help="With --install-service: print it only.",
            ),
        )
    ):
        command = option(command)
    return command


def install(ctx: click.Context, configuration: Configuration, *, for_user: bool) -> None:
    """Write the unit for the agent of this command line, and say how to start it."""
    unit = make_unit(ctx, configuration, for_user=for_user)
    try:
        for folder in (unit.path.parent, unit.variables.parent):
            folder.mkdir(parents=True, exist_ok=True)
        _write(unit.variables, unit.variables_text, 0o600)
        _write(unit.path, unit.text, 0o644)
    except PermissionError as error:
        raise UsageError(
            f"the unit {unit.path} cannot be written",
            why=str(error),
            fix="evq agent --install-service --user, or the same as root",
        ) from error
    except OSError as error:
        raise EvqError(f"the unit {unit.path} cannot be written", why=str(error)) from error
    output.say(f"wrote {unit.path}")
    output.say(f"wrote {unit.variables} (readable by its owner alone)")
    output.note("start it, now and after each boot:")
    for command in unit.commands:
        output.note(f"  {command}")


def show(ctx: click.Context, configuration: Configuration, *, for_user: bool) -> None:
    """Print the unit, and the names of the variables that would stand beside it."""
    unit = make_unit(ctx, configuration, for_user=for_user)
    output.say(unit.text.rstrip("\n"))
    output.note(output.dim(f"# {unit.path}"))
    names = ", ".join(unit.values) or "nothing"
    output.note(output.dim(f"# {unit.variables} holds {names}"))


def make_unit(ctx: click.Context, configuration: Configuration, *, for_user: bool) -> Unit:
    """The unit for the agent that `ctx` would run."""
    given = {parameter: ctx.params[parameter] for parameter in _given(ctx)}
    settings = configuration.settings
    name = "evq-agent" + (f"-{given['name']}" if given.get("name") else "")
    home = platformdirs.user_config_path() if for_user else Path("/etc")
    folder = home / "systemd" / ("user" if for_user else "system")
    variables = home / "evq" / f"{name.removeprefix('evq-')}.env"
    drain = given.get("drain_timeout")
    words = [word for name in given for word in _words(ctx, name, configuration)]
    words += [] if drain else ["--drain-timeout", f"{DRAIN_SECONDS}s"]
    seconds = (units.seconds(drain) if drain else DRAIN_SECONDS) + settings.grace
    python = [sys.executable, "-P", "-m", "evq.cli.main", "agent"]
    return Unit(
        name=name,
        path=folder / f"{name}.service",
        text=_unit_text(
            name=given.get("name", ""),
            command=[*python, *words],
            variables=variables,
            stop_seconds=round(seconds + SPARE_SECONDS),
            for_user=for_user,
        ),
        variables=variables,
        values={
            variable(name): shown
            for name, origin in configuration.origins.items()
            if origin.kind != "default" and name not in given and name != "color"
            if (shown := _written(name, getattr(settings, name)))
        },
        commands=_commands(name, for_user),
    )


def _given(ctx: click.Context) -> list[str]:
    """The names of the options that were written on the command line."""
    return [
        str(one.name)
        for one in ctx.command.params
        if ctx.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE
        and one.expose_value
        and one.name not in NOT_ITS_OWN
    ]


def _words(ctx: click.Context, name: str, configuration: Configuration) -> Iterator[str]:
    """One option as it was given, its path made absolute."""
    option = next(one for one in ctx.command.params if one.name == name)
    word, value = max(option.opts, key=len), ctx.params[name]
    if isinstance(option, click.Option) and option.is_flag:
        yield word
        return
    if name in PATHS:
        value = getattr(configuration.settings, name)
    for one in value if isinstance(value, tuple) else (value,):
        # In one word: a value may begin like an option.
        yield f"{word}={one}"


def _written(name: str, value: object) -> str:
    """A setting as one writes it into its variable."""
    if value is None:
        return ""
    # What is shown of a size is rounded, and of an address its password is left out.
    exact = name == "server" or isinstance(value, int | float)
    return str(value) if exact else SETTINGS[name].show(value)


def _commands(name: str, for_user: bool) -> tuple[str, ...]:
    if not for_user:
        return ("systemctl daemon-reload", f"systemctl enable --now {name}")
    return (
        f"systemctl --user daemon-reload && systemctl --user enable --now {name}",
        f"loginctl enable-linger {getpass.getuser()}    # so that it runs without your login",
    )


def _unit_text(
    *, name: str, command: Sequence[str], variables: Path, stop_seconds: int, for_user: bool
) -> str:
    user = "" if for_user or not (sudo := os.environ.get("SUDO_USER")) else f"User={sudo}\n"
    path = os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", "").split(os.pathsep)))
    return f"""\
[Unit]
Description=evq agent{f" {name}" if name else ""}
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
ExecStart={" ".join(map(_argument, command))}
EnvironmentFile={str(variables).replace("%", "%%")}
Environment={_quoted(f"PATH={path}").replace("%", "%%")}
{user}\
# It waits for its server as long as it takes.
TimeoutStartSec=infinity
# 0 is the end of an agent that was told to stop (evq stop); 2 says that its options are wrong.
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
# The agent alone is told to stop: it drains, then gives its tasks back, and ends their processes.
KillMode=mixed
TimeoutStopSec={stop_seconds}
# Limits of tasks are cgroups below the agent's own; a task that runs out of memory is no reason
# to end the others.
Delegate=yes
OOMPolicy=continue

[Install]
WantedBy={"default.target" if for_user else "multi-user.target"}
"""


def _argument(word: str) -> str:
    """A word of a command line, as systemd.service(5) reads it."""
    escaped = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", escaped):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _quoted(value: str) -> str:
    return '"' + re.sub(r'([\\"`$])', r"\\\1", value) + '"'


def _write(path: Path, text: str, mode: int) -> None:
    """Put the file there in one step, never readable by more than `mode` says."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    shutil.move(partial, path)
