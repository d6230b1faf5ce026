"""Where the settings of this run come from: files, NATS contexts, the environment, options.

From the weakest to the strongest: the defaults, the user's file, the project's
`pyproject.toml`, the context named by `NATS_CONTEXT`, the `NATS_` variables, the `EVQ_`
variables, the context named by `--context`, the options. If none of them names a server, the
running store's own is used. A context that is merely selected (`nats context select`) is never
used: it may be somebody's production.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import platformdirs

from ..configuration import (
    NOT_OF_A_PROJECT,
    OF_A_SERVER,
    Configuration,
    Given,
    Layer,
    Origin,
    given,
    layer,
    merge,
    shown,
)
from ..errors import SettingsError
from ..settings import PATHS, SETTINGS, variable
from . import running

_CONTEXT_NAMES = {
    "url": "server",
    "jetstream_domain": "domain",
    "inbox_prefix": "inbox_prefix",
    **{name: name for name in ("token", "user", "password", "creds", "nkey", "ca", "cert", "key")},
}
_CONTEXT_IGNORED = {"description", "color_scheme", "name"}


def load(
    options: Mapping[str, object] | None = None,
    *,
    context: str | None = None,
    cwd: Path | None = None,
) -> Configuration:
    """The settings in force for a command that runs in `cwd`.

    `options` are the settings given on the command line (`None` values were not given),
    `context` is `--context`. Raises `SettingsError`.
    """
    here = cwd or Path.cwd()
    named = os.environ.get("NATS_CONTEXT")
    layers = [
        _defaults(),
        _user_file(),
        _project(here),
        _context(named) if named else {},
        *environment(_with_paths(os.environ, here)),
        _context(context) if context else {},
        _options(options or {}, here),
    ]
    configuration = merge(layers)
    if configuration.settings.server is None:
        return _with_running(Path(configuration.settings.store), layers) or configuration
    return configuration


def rows(configuration: Configuration) -> list[tuple[str, str, str]]:
    """Name, value and origin of every setting, for people: secrets are masked."""
    return [
        (name, shown(name, getattr(configuration.settings, name)), str(origin))
        for name, origin in configuration.origins.items()
    ]


def _defaults() -> Layer:
    state = platformdirs.user_state_path("evq")
    folders = {
        "store": str(state / "default"),
        "state_dir": str(state),
        "cache_dir": platformdirs.user_cache_dir("evq"),
    }
    return layer(folders, Origin("default"))


def user_file() -> Path:
    """The user's own settings file, whether it exists or not."""
    return platformdirs.user_config_path("evq") / "config.toml"


def _user_file() -> Layer:
    path = user_file()
    table = _toml(path) if path.is_file() else {}
    return layer(_absolute(table, path.parent), Origin("file", str(path)))


def _project(here: Path) -> Layer:
    """What the nearest `pyproject.toml` with a table `[tool.evq]` gives, inside the repository."""
    for folder in (here, *here.parents):
        path = folder / "pyproject.toml"
        if path.is_file() and (table := _tool_evq(path)):
            return _trusted(layer(_absolute(table, folder), Origin("file", str(path))))
        if (folder / ".git").exists():
            break
    return {}


def _trusted(project: Layer) -> Layer:
    for name in NOT_OF_A_PROJECT & project.keys():
        raise SettingsError(
            f"a project cannot choose {name}: {SETTINGS[name].meaning}",
            why=f"it stands in {project[name].origin}",
            fix=f"take it out, and set {variable(name)} or write it in {user_file()}",
        )
    return project


def _tool_evq(path: Path) -> dict[str, object]:
    tools = _toml(path).get("tool", {})
    table = tools.get("evq", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise SettingsError(
            "tool.evq is not a table", why=f"it stands in {path}", fix="begin it with [tool.evq]"
        )
    return table


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read", why=str(error), fix=f"correct {path}"
        ) from error


def environment(environ: Mapping[str, str]) -> tuple[Layer, Layer]:
    """What the variables of NATS, and the stronger ones of evq, give; an empty one is not set.

    Unknown `EVQ_` names are let pass: a task finds variables of that kind in its environment.
    """
    nats: dict[str, Given] = _colors(environ)
    own: dict[str, Given] = {}
    for name, setting in SETTINGS.items():
        for alias in setting.variables:
            if environ.get(alias):
                nats[name] = given(name, environ[alias], Origin("environment", alias))
        if environ.get(variable(name)):
            origin = Origin("environment", variable(name))
            own[name] = given(name, environ[variable(name)], origin)
    return nats, own


def _colors(environ: Mapping[str, str]) -> dict[str, Given]:
    wishes = (
        ("NO_COLOR", bool(environ.get("NO_COLOR")), "never"),
        ("FORCE_COLOR", bool(environ.get("FORCE_COLOR")), "always"),
        ("CLICOLOR_FORCE", environ.get("CLICOLOR_FORCE", "0") not in ("", "0"), "always"),
        ("CLICOLOR", environ.get("CLICOLOR") == "0", "never"),
    )
    for name, wished, value in wishes:
        if wished:
            return {"color": Given(value, Origin("environment", name))}
    return {}


def _with_paths(environ: Mapping[str, str], here: Path) -> Mapping[str, str]:
    """`environ`, its paths to files made absolute."""
    names = {
        name: alias
        for name in PATHS
        for alias in (variable(name), *SETTINGS[name].variables)
        if environ.get(alias)
    }
    return {**environ, **{alias: _resolve(environ[alias], here) for alias in names.values()}}


def _options(options: Mapping[str, object], here: Path) -> Layer:
    given_ones = {name: value for name, value in options.items() if value is not None}
    layers = (
        layer({name: value}, Origin("option", "--" + name.replace("_", "-")))
        for name, value in _absolute(given_ones, here).items()
    )
    return {name: one for single in layers for name, one in single.items()}


def _context(name: str) -> Layer:
    """What the NATS context `name` gives. Raises `SettingsError` if there is none."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "nats/context"
    path = folder / f"{name}.json"
    if not re.fullmatch(r"[^/\\]+", name) or not path.is_file():
        names = ", ".join(sorted(file.stem for file in folder.glob("*.json"))) or "none"
        raise SettingsError(
            f"there is no NATS context {name!r}",
            why=f"contexts in {folder}: {names}",
            fix=f"nats context add {name} --server nats://HOST:4222",
        )
    try:
        fields = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(
            f"the NATS context {name!r} cannot be read", why=f"{path}: {error}", fix=f"edit {path}"
        ) from error
    return nats_context(fields, name, folder)


def nats_context(fields: Mapping[str, object], name: str, folder: Path) -> Layer:
    """What the fields of the NATS context `name`, kept in `folder`, give.

    Raises `SettingsError` if it asks for something that evq cannot do, rather than
    connecting in another way than its author meant.
    """
    known: dict[str, object] = {}
    for field, value in fields.items():
        if value in ("", None, False) or field in _CONTEXT_IGNORED:
            continue
        if field not in _CONTEXT_NAMES:
            raise _unsupported(name, f"evq cannot do what its field {field!r} asks for")
        if field != "url" and re.match(r"\w+://|data:", str(value)):
            raise _unsupported(name, f"its {field!r} is a link, evq reads plain values and paths")
        known[_CONTEXT_NAMES[field]] = value
    return layer(_absolute(known, folder), Origin("nats context", name))


def _unsupported(context: str, why: str) -> SettingsError:
    return SettingsError(
        f"the NATS context {context!r} cannot be used",
        why=why,
        fix="name the server and its login directly, with NATS_URL and for example NATS_CREDS",
    )


def _with_running(store: Path, layers: list[Layer]) -> Configuration | None:
    """The settings with the server of the store, if `evq up` is serving it."""
    up = running.up(store)
    if up is None:
        return None
    values = {"server": up.url, "token": up.token, "ca": up.ca}
    present = {name: value for name, value in values.items() if value}
    own = layer(present, Origin("running store", str(store)))
    rest = [{n: g for n, g in one.items() if n not in OF_A_SERVER} for one in layers]
    return merge([*rest, own])


def _absolute(values: Mapping[str, object], base: Path) -> dict[str, object]:
    """`values`, their paths relative to `base` made absolute."""
    return {
        name: _resolve(value, base) if name in PATHS and isinstance(value, str) else value
        for name, value in values.items()
    }


def _resolve(written: str, base: Path) -> str:
    # normpath, not resolve(): a link to a store keeps the name that its owner knows.
    return os.path.normpath(base / Path(written).expanduser()) if written else written
