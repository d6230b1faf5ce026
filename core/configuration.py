"""Where settings come from, and who wins.

Layers are merged from the weakest to the strongest. A login belongs to the server it was written
for: when a layer names another server than the layers below it, their logins are dropped, so that
no password travels to a server that its owner did not mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from .errors import EvqError, SettingsError
from .settings import SETTINGS, Settings, variable

_LOGINS = (("token",), ("user", "password"), ("creds",), ("nkey",))

NOT_OF_A_PROJECT = frozenset(
    {"nats_server", "pass_env", "secrets_env", "secrets_file", "address"}
    | {"client_token", "client_creds"}
    | {"docker_args", "docker_allow", "extra_ca", "git_credentials", "git_ssh"}
)
"""The settings that a checkout of somebody else's code must not choose."""

OF_A_SERVER = frozenset(
    {"token", "user", "password", "creds", "nkey", "ca", "cert", "key", "domain", "inbox_prefix"}
    | {"client_token", "client_creds"}
)
"""The settings that only mean something for the server they were written for."""


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from, as `evq config` says it: `environment NATS_URL`."""

    kind: Literal["default", "file", "nats context", "environment", "option", "running store"]
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".rstrip()


class Given(msgspec.Struct, frozen=True):
    """A parsed value, and who gave it."""

    value: object
    origin: Origin


Layer = Mapping[str, Given]
"""What one source gives, by the names of the settings."""


class Configuration(msgspec.Struct, frozen=True):
    """The settings in force and the origin of each."""

    settings: Settings
    origins: Mapping[str, Origin]


def layer(values: Mapping[str, object], origin: Origin) -> Layer:
    """What one source gives. Raises `SettingsError` for unknown names and wrong values."""
    return {name: given(name, written, origin) for name, written in values.items()}


def given(name: str, written: object, origin: Origin) -> Given:
    """What was written for `name`, parsed. Raises `SettingsError` if it cannot be used."""
    if name not in SETTINGS:
        raise _unknown(name, origin)
    setting = SETTINGS[name]
    try:
        return Given(setting.parse(written), origin)
    except (ValueError, EvqError) as error:
        shown = "the value" if setting.secret else setting.show(repr(written))
        raise SettingsError(
            f"{name} cannot be {shown}",
            why=f"it comes from {origin}; allowed is {setting.allowed}",
            fix=f"correct it there, or set {variable(name)}",
        ) from error


def _unknown(name: str, origin: Origin) -> SettingsError:
    import difflib  # 25 ms that only a mistake pays

    near = difflib.get_close_matches(name, SETTINGS, n=1)
    return SettingsError(
        f"there is no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        why=f"it stands in {origin}; known are {', '.join(SETTINGS)}",
        fix=f"write {near[0]} instead" if near else f"take {name} out",
    )


def merge(layers: Iterable[Layer]) -> Configuration:
    """The settings in force, from the weakest layer to the strongest."""
    chosen: dict[str, Given] = {}
    for stronger in layers:
        for name in list(_outdated(chosen, stronger)):
            chosen.pop(name, None)
        chosen.update(stronger)
    _check_together(chosen)
    settings = msgspec.convert({name: one.value for name, one in chosen.items()}, Settings)
    default = Origin("default")
    origins = {n: chosen[n].origin if n in chosen else default for n in SETTINGS}
    return Configuration(settings, origins)


def _outdated(chosen: Layer, stronger: Layer) -> Iterable[str]:
    """What `stronger` makes void: all about another server, logins of another kind."""
    before, now = chosen.get("server"), stronger.get("server")
    if before and now and before.value != now.value:
        yield from OF_A_SERVER
    if given_kinds := [kind for kind in _LOGINS if any(name in stronger for name in kind)]:
        yield from (name for kind in _LOGINS if kind not in given_kinds for name in kind)


def _check_together(chosen: Layer) -> None:
    logins = [kind[0] for kind in _LOGINS if any(name in chosen for name in kind)]
    if len(logins) > 1:
        raise SettingsError(
            f"{' and '.join(logins)} are set, one login is enough",
            why="they come from " + _origins(chosen, logins),
            fix=f"take out all but one, for example keep {logins[0]}",
        )
    for one, other in (("cert", "key"), ("key", "cert"), ("password", "user")):
        if one in chosen and other not in chosen:
            raise SettingsError(
                f"{one} is set but {other} is not",
                why=f"{one} comes from {chosen[one].origin}; it means nothing without {other}",
                fix=f"set {variable(other)} too",
            )


def _origins(chosen: Layer, names: list[str]) -> str:
    return " and ".join(str(one.origin) for name, one in chosen.items() if name in names)


def shown(name: str, value: object) -> str:
    """`value` of the setting `name` for people; secrets are masked."""
    if value is None:
        return ""
    return "********" if SETTINGS[name].secret else SETTINGS[name].show(value)
