"""Every setting of evq: its meaning, and what it may hold. `configuration` says who wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from . import units
from .addresses import server_address
from .artifacts import FORMS as DEPOT_FORMS
from .artifacts import NATS, read_depot
from .container import FREE, GUARDED, check_image, read_arguments
from .ids import check_name
from .trackers import FORMS, read_trackers


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings in force. Durations are seconds, sizes are bytes, paths are absolute."""

    server: str | None = None
    token: str | None = None
    user: str | None = None
    password: str | None = None
    creds: str | None = None
    nkey: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    domain: str | None = None
    inbox_prefix: str | None = None
    store: str
    state_dir: str
    cache_dir: str
    queue: str = "default"
    lease: float = 10.0
    grace: float = 30.0
    keep: float = 7200.0
    gather: float = 60.0
    address: str | None = None
    on_disconnect: Literal["freeze", "run", "stop"] = "freeze"
    pass_env: tuple[str, ...] = ()
    secrets_env: tuple[str, ...] = ()
    secrets_file: str | None = None
    client_token: str | None = None
    client_creds: str | None = None
    spool_bytes: int = 1024**3
    log_bytes: int = 256 * 1024**2
    gpus: str = "all"
    gpu_readings: str | None = None
    gpu_foreign: int = 200 * 1024**2
    limits: Literal["try", "require"] = "try"
    max_timeout: float | None = None
    patience: float = 60.0
    disk_floor: int | str = "auto"
    cache_bytes: int = 100 * 1024**3
    cache_kinds: str = ""
    trackers: str = "all"
    artifacts: str = NATS
    artifact_bytes: int = 10 * 1024**3
    sample_every: float = 0.5
    report_every: float = 10.0
    quiet_after: float = 3600.0
    keep_samples: float = 2 * 86_400.0
    trim_metrics: float | None = None
    trim_logs: float | None = None
    trim_minutes: float | None = None
    archive_after: float | None = None
    sync: Literal["always"] | float = "always"
    git_credentials: str | None = None
    git_protocol: Literal["auto", "keep", "https", "ssh"] = "auto"
    git_ssh: str = "ssh"
    nats_server: str | None = None
    docker: str | None = None
    docker_args: str | None = None
    docker_allow: str | None = None
    extra_ca: str | None = None
    color: Literal["auto", "always", "never"] = "auto"

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses in `server`: one, or several of the same cluster."""
        return tuple(self.server.split(",")) if self.server else ()


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about one field of `Settings`.

    `parse` turns what was written into the value or raises; `allowed` says what it accepts;
    `variables` are the environment names besides `EVQ_<NAME>`.
    """

    parse: Callable[[object], object]
    allowed: str
    meaning: str
    variables: tuple[str, ...] = ()
    secret: bool = False
    show: Callable[[object], str] = str


def _text(written: object) -> str:
    if not isinstance(written, str) or not written.strip():
        raise ValueError
    return written.strip()


def _url(written: object) -> str:
    return ",".join(server_address(part.strip()) for part in _text(written).split(","))


def _queue(written: object) -> str:
    return check_name(_text(written), "queue")


def _duration(least: float) -> Callable[[object], float]:
    def parse(written: object) -> float:
        if isinstance(written, bool) or not isinstance(written, str | int | float):
            raise ValueError
        value = units.seconds(str(written))
        if value < least:
            raise ValueError
        return value

    return parse


def _size(written: object) -> int:
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise ValueError
    return units.size(str(written))


def _one_of(*words: str) -> Callable[[object], str]:
    def parse(written: object) -> str:
        if written not in words:
            raise ValueError
        return str(written)

    return parse


_NAMES = re.compile(r"[A-Za-z0-9_*?]*[A-Za-z0-9_][A-Za-z0-9_*?]*")


def _patterns(written: object) -> tuple[str, ...]:
    words = written.split(",") if isinstance(written, str) else written
    if not isinstance(words, list):
        raise ValueError
    found = tuple(_text(word) for word in words)
    if not all(map(_NAMES.fullmatch, found)):
        raise ValueError
    return found


def _show_patterns(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _sync(written: object) -> object:
    return "always" if written == "always" else _duration(0.1)(written)


def _docker_args(written: object) -> str:
    read_arguments([_text(written)])
    return _text(written)


def _docker_allow(written: object) -> str:
    names = [name.strip() for name in _text(written).split(",")]
    if not set(names) <= set(GUARDED):
        raise ValueError
    return ",".join(names)


def _trackers(written: object) -> str:
    read_trackers(_text(written))
    return _text(written)


def _depot(written: object) -> str:
    return read_depot(_text(written))


_PART = re.compile(r"(?:100|\d{1,2})(?:\.\d+)?%\Z")


def _floor(written: object) -> int | str:
    if written == "auto" or (isinstance(written, str) and _PART.match(written)):
        return written
    return _size(written)


def _kinds(written: object) -> str:
    for part in _text(written).split(","):
        kind, sign, amount = part.partition("=")
        if not sign or not kind.strip():
            raise ValueError
        units.size(amount)
    return _text(written)


def _show_duration(value: object) -> str:
    return units.duration_text(value) if isinstance(value, float) else str(value)


def _show_size(value: object) -> str:
    return units.size_text(value) if isinstance(value, int) else str(value)


def _show_url(value: object) -> str:
    return re.sub(r"//[^@/]+@", "//********@", str(value))


def _path(meaning: str, *variables: str) -> Setting:
    return Setting(parse=_text, allowed="a path", meaning=meaning, variables=variables)


def _word(allowed: str, meaning: str, *variables: str, secret: bool = False) -> Setting:
    return Setting(
        parse=_text, allowed=allowed, meaning=meaning, variables=variables, secret=secret
    )


def _period(meaning: str, least: float) -> Setting:
    allowed = f"{units.DURATION_FORMS}, at least {units.duration_text(least)}"
    return Setting(parse=_duration(least), allowed=allowed, meaning=meaning, show=_show_duration)


def _period_or_off(meaning: str) -> Setting:
    return Setting(
        parse=lambda written: 0.0 if written in ("off", False) else _duration(1.0)(written),
        allowed=f"off, or {units.DURATION_FORMS}, at least 1s",
        meaning=meaning,
        show=lambda value: _show_duration(value) if value else "off",
    )


def _amount(meaning: str) -> Setting:
    return Setting(parse=_size, allowed=units.SIZE_FORMS, meaning=meaning, show=_show_size)


def _variables(meaning: str) -> Setting:
    return Setting(
        parse=_patterns,
        allowed="names of variables with commas between, where * stands for anything but all",
        meaning=meaning,
        show=_show_patterns,
    )


def _choice(meaning: str, *words: str) -> Setting:
    return Setting(parse=_one_of(*words), allowed=" or ".join(words), meaning=meaning)


SETTINGS: Mapping[str, Setting] = {
    "server": Setting(
        parse=_url,
        allowed="a NATS address such as nats://host:4222, or several with commas between",
        meaning="the NATS server to talk to; without it, the running store's own",
        variables=("NATS_URL",),
        show=_show_url,
    ),
    "token": _word("a text", "login by token", "NATS_TOKEN", secret=True),
    "user": _word("a text", "login by user and password", "NATS_USER"),
    "password": _word("a text", "the password of `user`", "NATS_PASSWORD", secret=True),
    "creds": _path("login by a NATS credentials file", "NATS_CREDS"),
    "nkey": _path("login by the file that holds an NKEY seed", "NATS_NKEY"),
    "ca": _path("the authority that signed the server's certificate", "NATS_CA"),
    "cert": _path("this client's TLS certificate", "NATS_CERT"),
    "key": _path("the private key of `cert`", "NATS_KEY"),
    "domain": _word("a name", "the JetStream domain to use"),
    "inbox_prefix": _word("a subject", "where replies go, if the server limits that"),
    "store": _path("the folder of the server, log and database that `evq up` runs"),
    "state_dir": _path("what an agent must find again after a crash"),
    "cache_dir": _path("environments and code that can be made again"),
    "queue": Setting(
        parse=_queue,
        allowed="a name of 1 to 64 characters out of A-Z a-z 0-9 _ -",
        meaning="the queue when none is named",
    ),
    "lease": _period("how long an agent may be silent before its task runs elsewhere", 0.5),
    "grace": _period("from SIGTERM to SIGKILL when a task is told to end", 0.0),
    "keep": _period("how long the folder of a failed attempt stays; 0 is not at all", 0.0),
    "gather": _period(
        "how long a gang waits for room for all its ranks before agents keep places for it", 1.0
    ),
    "address": _word(
        "an address or a name",
        "where the other ranks of a gang reach this agent's machine; without it, that of its "
        "interface towards the server",
    ),
    "on_disconnect": _choice(
        "what a task does while its agent cannot reach the server", "freeze", "run", "stop"
    ),
    "pass_env": _variables("variables of the agent that tasks see besides the usual ones"),
    "secrets_env": _variables("variables of the agent that tasks may name as secrets"),
    "secrets_file": _path("a TOML file of secrets that tasks may name"),
    "client_token": _word("a text", "login by token of tasks that ask for one", secret=True),
    "client_creds": _path("login of tasks that ask for one, by a NATS credentials file"),
    "spool_bytes": _amount("what an agent keeps on disk of logs and metrics not yet sent"),
    "log_bytes": _amount("how much log of one attempt is kept"),
    "gpus": _word(
        "indexes and ranges such as 0,2-3, ids of GPUs or MIG instances, all, or none",
        "the GPUs that an agent gives to tasks",
    ),
    "gpu_readings": _path("a file of GPUs and their readings, used instead of the machine's own"),
    "gpu_foreign": _amount(
        "how much of a GPU's memory processes outside evq may have before an agent leaves it alone"
    ),
    "limits": _choice(
        "what an agent does with a task whose limits it cannot enforce: run it anyway, or not",
        "try",
        "require",
    ),
    "max_timeout": _period("the longest that a task may run on an agent, whatever it asks", 0.5),
    "patience": _period(
        "how long a task that does not fit an agent may be passed by there before the agent keeps "
        "room free for it",
        0.1,
    ),
    "disk_floor": Setting(
        parse=_floor,
        allowed=f"auto, a part such as 5%, or {units.SIZE_FORMS}",
        meaning="free disk space below which an agent prunes its caches, then claims nothing; "
        "auto is 2GiB or 5%, whichever is less",
        show=_show_size,
    ),
    "cache_bytes": _amount("what an agent's caches may take on the disk together"),
    "cache_kinds": Setting(
        parse=_kinds,
        allowed="KIND=SIZE with commas between, such as environments=50GiB,code=5GiB",
        meaning="what a single kind of cache may take; `evq cache ls` names the kinds",
    ),
    "trackers": Setting(
        parse=_trackers,
        allowed=FORMS,
        meaning="the trackers whose clients and files in tasks become metrics",
    ),
    "artifacts": Setting(
        parse=_depot, allowed=DEPOT_FORMS, meaning="where the artifacts that tasks save lie"
    ),
    "artifact_bytes": _amount("how large an artifact may be that lies in the server"),
    "sample_every": _period("how often an agent looks at its machine", 0.1),
    "report_every": _period_or_off("how often an agent tells what it saw of its machine"),
    "quiet_after": _period_or_off("for how long a task says and uses nothing until it is quiet"),
    "keep_samples": _period(
        "how long a projector keeps what agents tell of their machines in full; "
        "minutes and hours stay",
        3600.0,
    ),
    "trim_metrics": _period("the age at which a projector thins curves; without it, never", 3600.0),
    "trim_logs": _period("the age at which a projector drops logs; without it, never", 3600.0),
    "trim_minutes": _period("the age at which it drops minutes; without it, never", 3600.0),
    "archive_after": _period("the age at which it archives tasks that ended; else, never", 3600.0),
    "sync": Setting(
        parse=_sync,
        allowed=f"always, or {units.DURATION_FORMS}, at least 100ms",
        meaning="when the server of `evq up` forces events to the disk",
        show=_show_duration,
    ),
    "git_credentials": _path("an agent's logins for git hosts, as git's credential store has them"),
    "git_protocol": _choice(
        "how an agent reaches a git host: as the address says (keep), always by https or by ssh, "
        "or by https where it has a login (auto)",
        *("auto", "keep", "https", "ssh"),
    ),
    "git_ssh": _word("a command", "what an agent runs for ssh, such as ssh -i KEY"),
    "nats_server": _path("`evq up`'s nats-server program; without it, the one that came along"),
    "docker": Setting(
        parse=lambda written: check_image(_text(written)),
        allowed="the name of an image",
        meaning="the image in which an agent runs tasks that ask for none",
    ),
    "docker_args": Setting(
        parse=_docker_args,
        allowed=", ".join(f"--{name}" for name in (*FREE, *GUARDED)),
        meaning="arguments that an agent gives every container, as `docker run` has them",
    ),
    "docker_allow": Setting(
        parse=_docker_allow,
        allowed=f"names out of {', '.join(GUARDED)}, with commas between",
        meaning="arguments by which tasks may reach outside of their container",
    ),
    "extra_ca": _path("authorities that set-up and tasks trust besides the machine's own"),
    "color": _choice("colours in the output", "auto", "always", "never"),
}

PATHS = frozenset(name for name, setting in SETTINGS.items() if setting.allowed == "a path")


def variable(name: str) -> str:
    """The environment variable that sets `name`."""
    return f"EVQ_{name.upper()}"
