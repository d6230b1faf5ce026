"""Settings: who wins, whose login goes where, and what a mistake is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from evq.core.configuration import Configuration, Layer, Origin, layer, merge, shown
from evq.core.errors import EvqError, SettingsError, UsageError
from evq.core.sdk.settings import environment, load, nats_context, rows
from evq.core.settings import SETTINGS, Settings, variable
from evq.core.units import duration_text, seconds, size, size_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any settings, in a folder of his own."""
    names = {variable(name) for name in SETTINGS} | {"NATS_CONTEXT", "NO_COLOR", "FORCE_COLOR"}
    names |= {alias for setting in SETTINGS.values() for alias in setting.variables}
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    (tmp_path / "project/.git").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def context(home: Path, name: str, **fields: object) -> None:
    write(home / f"config/nats/context/{name}.json", json.dumps(fields))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10", 10.0),
        ("0.5", 0.5),
        ("90s", 90.0),
        ("2h30m", 9000.0),
        ("1d", 86400.0),
        ("250ms", 0.25),
        ("1m250ms", 60.25),
        ("01:30:00", 5400.0),
        ("5:30", 330.0),
        (" 2H ", 7200.0),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("12B", 12),
        ("500k", 500 * 1024),
        ("500kB", 500_000),
        ("64MiB", 64 * 1024**2),
        ("64 mib", 64 * 1024**2),
        ("2G", 2 * 1024**3),
        ("1.5GiB", 3 * 512 * 1024**2),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "1x", "1h-2m", "h1", "1 h", "nan", "inf", "1:75"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        seconds(text)


@pytest.mark.parametrize("text", ["", "-1", "1X", "MiB", "1 2", "1KK", "0x10"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        size(text)


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0, 59.5, 60.0, 9000.0, 90061.0])
def test_durations_read_back(value: float) -> None:
    assert seconds(duration_text(value)) == value


@pytest.mark.parametrize("value", [0, 1, 1024, 1536, 64 * 1024**2, 3 * 1024**4])
def test_sizes_read_back(value: int) -> None:
    assert size(size_text(value)) == value


def test_the_stronger_source_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = home / "project"

    def lease() -> tuple[float, str]:
        options = {"lease": "7s"} if strongest else {}
        configuration = load(options, cwd=project / "deep/inside")
        return configuration.settings.lease, configuration.origins["lease"].kind

    strongest = False
    assert lease() == (10.0, "default")
    write(home / "config/evq/config.toml", 'lease = "4s"')
    assert lease() == (4.0, "file")
    write(project / "pyproject.toml", '[tool.evq]\nlease = "5s"')
    assert lease() == (5.0, "file")
    monkeypatch.setenv("EVQ_LEASE", "6s")
    assert lease() == (6.0, "environment")
    strongest = True
    assert lease() == (7.0, "option")


def test_the_stronger_source_of_the_server_wins(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context(home, "prod", url="nats://context:4222")

    def server(named: str | None = None, **options: object) -> tuple[str | None, str]:
        configuration = load(options, context=named, cwd=home / "project")
        return configuration.settings.server, str(configuration.origins["server"])

    assert server() == (None, "default")
    monkeypatch.setenv("NATS_CONTEXT", "prod")
    assert server() == ("nats://context:4222", "nats context prod")
    monkeypatch.setenv("NATS_URL", "tls://variable:4333")
    assert server() == ("tls://variable:4333", "environment NATS_URL")
    monkeypatch.setenv("EVQ_SERVER", "own")
    assert server() == ("nats://own:4222", "environment EVQ_SERVER")
    assert server(named="prod") == ("nats://context:4222", "nats context prod")
    assert server(named="prod", server="option:1") == ("nats://option:1", "option --server")


def test_a_context_that_is_only_selected_is_not_used(home: Path) -> None:
    context(home, "prod", url="nats://prod:4222")
    write(home / "config/nats/context.txt", "prod")
    assert load(cwd=home / "project").settings.server is None


def test_a_project_ends_at_its_repository(home: Path) -> None:
    write(home / "pyproject.toml", '[tool.evq]\nqueue = "planted"')
    assert load(cwd=home / "project").settings.queue == "default"


def test_paths_are_relative_to_where_they_were_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = home / "project"
    write(project / "pyproject.toml", '[tool.evq]\nstore = "here/store"')
    monkeypatch.setenv("EVQ_CACHE_DIR", "cache")
    settings = load({"state_dir": "~/state"}, cwd=project / "deep").settings
    assert settings.store == str(project / "here/store")
    assert settings.cache_dir == str(project / "deep/cache")
    assert settings.state_dir == str(home / "state")


def test_an_empty_variable_is_not_set() -> None:
    assert environment({"EVQ_SERVER": "", "NATS_URL": "", "EVQ_TASK": "anything"}) == ({}, {})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "never"),
        ({"FORCE_COLOR": "1"}, "always"),
        ({"CLICOLOR": "0"}, "never"),
        ({"NO_COLOR": "1", "EVQ_COLOR": "always"}, "always"),
        ({}, "auto"),
    ],
)
def test_colors(environ: Mapping[str, str], expected: str) -> None:
    assert merged(*environment(environ)).settings.color == expected


def merged(*layers: Layer) -> Configuration:
    folders = {name: "/nowhere" for name in ("store", "state_dir", "cache_dir")}
    return merge([layer(folders, Origin("default")), *layers])


def from_file(**values: object) -> Layer:
    return layer(values, Origin("file", "config.toml"))


def from_variable(**values: object) -> Layer:
    return layer(values, Origin("environment", "SOME"))


def test_a_login_does_not_travel_to_another_server() -> None:
    file = from_file(server="a", user="me", password="secret", ca="/ca", domain="hub")
    settings = merged(file, from_variable(server="b")).settings
    assert (settings.server, settings.user, settings.password) == ("nats://b:4222", None, None)
    assert (settings.ca, settings.domain) == (None, None)
    assert merged(file, from_variable(server="nats://a:4222")).settings.password == "secret"


def test_a_login_of_its_own_goes_with_any_server() -> None:
    settings = merged(from_file(creds="/my.creds"), from_variable(server="b")).settings
    assert (settings.server, settings.creds) == ("nats://b:4222", "/my.creds")


def test_a_stronger_login_replaces_one_of_another_kind() -> None:
    settings = merged(from_file(server="a", token="old"), from_variable(creds="/new")).settings
    assert (settings.token, settings.creds) == (None, "/new")
    halves = merged(from_file(user="me"), from_variable(password="secret")).settings
    assert (halves.user, halves.password) == ("me", "secret")


def mistake(*layers: Layer) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        merged(*layers)
    return told(caught.value)


def told(error: EvqError) -> SettingsError:
    assert isinstance(error, SettingsError)
    assert error.what and error.why and error.fix
    return error


def test_settings_that_do_not_go_together() -> None:
    two = mistake(from_file(token="t", creds="/c"))
    assert "token and creds" in two.what and "config.toml" in two.why
    assert "key is not" in mistake(from_file(cert="/c")).what
    assert "user is not" in mistake(from_file(password="x")).what


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("server", "http://host"),
        ("server", "nats://host:99999"),
        ("server", 4222),
        ("lease", "soon"),
        ("lease", "100ms"),
        ("lease", True),
        ("grace", "-1s"),
        ("queue", "a.b"),
        ("on_disconnect", "explode"),
        ("spool_bytes", "lots"),
        ("sync", "never"),
        ("sync", "0"),
        ("store", ""),
        ("color", "blue"),
    ],
)
def test_a_wrong_value_is_explained(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        layer({name: value}, Origin("environment", "SOME"))
    error = told(caught.value)
    assert name in error.what and repr(value) in error.what
    assert "environment SOME" in error.why and SETTINGS[name].allowed in error.why


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        layer({"token": ["hush"]}, Origin("file", "config.toml"))
    assert "hush" not in str(told(caught.value))


def test_an_unknown_name_is_an_error_with_a_guess(home: Path) -> None:
    write(home / "config/evq/config.toml", 'servr = "a"')
    with pytest.raises(SettingsError) as caught:
        load(cwd=home / "project")
    error = told(caught.value)
    assert "did you mean 'server'?" in error.what and "config.toml" in error.why


def test_a_file_that_is_no_toml(home: Path) -> None:
    write(home / "config/evq/config.toml", "lease = soon")
    with pytest.raises(SettingsError) as caught:
        load(cwd=home / "project")
    assert "line 1" in told(caught.value).why


def test_a_project_whose_table_is_no_table(home: Path) -> None:
    write(home / "project/pyproject.toml", "[tool]\nevq = 3")
    with pytest.raises(SettingsError) as caught:
        load(cwd=home / "project")
    assert "[tool.evq]" in told(caught.value).fix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nats_server", "./evil"),
        ("docker_args", "--privileged"),
        ("docker_allow", "volume"),
        ("extra_ca", "./evil.pem"),
    ],
)
def test_a_project_cannot_choose_whom_to_trust(home: Path, name: str, value: str) -> None:
    write(home / "project/pyproject.toml", f'[tool.evq]\n{name} = "{value}"')
    with pytest.raises(SettingsError) as caught:
        load(cwd=home / "project")
    assert f"EVQ_{name.upper()}" in told(caught.value).fix


def test_a_context_gives_all_that_evq_can_use(tmp_path: Path) -> None:
    fields = {
        "description": "the big one",
        "url": "nats://a:4222,nats://b:4222",
        "token": "",
        "creds": "prod.creds",
        "ca": "/etc/ca.pem",
        "jetstream_domain": "hub",
        "inbox_prefix": "_MY",
        "tls_first": False,
    }
    settings = merged(nats_context(fields, "prod", tmp_path)).settings
    assert settings.servers == ("nats://a:4222", "nats://b:4222")
    assert settings.creds == str(tmp_path / "prod.creds")
    assert (settings.ca, settings.domain, settings.inbox_prefix) == ("/etc/ca.pem", "hub", "_MY")


@pytest.mark.parametrize(
    ("field", "value"),
    [("user_jwt", "ey…"), ("tls_first", True), ("socks_proxy", "s"), ("password", "op://v/p")],
)
def test_a_context_that_asks_for_more_is_refused(field: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        nats_context({"url": "nats://a", "user": "me", field: value}, "prod", Path("/"))
    error = told(caught.value)
    assert "'prod'" in error.what and field in error.why


@pytest.mark.parametrize("name", ["staging", "../prod"])
def test_a_context_that_does_not_exist(home: Path, name: str) -> None:
    context(home, "prod", url="nats://a")
    with pytest.raises(SettingsError) as caught:
        load(context=name, cwd=home / "project")
    assert "prod" in told(caught.value).why


def test_secrets_are_masked() -> None:
    assert "hush" not in shown("token", "hush")
    assert shown("server", "nats://me:hush@host:4222") == "nats://********@host:4222"
    listed = rows(merged(from_file(token="hush", server="me:hush@host")))
    assert [name for name, _, _ in listed] == list(SETTINGS)
    assert not any("hush" in text for row in listed for text in row)


def test_every_setting_is_known_shown_and_documented() -> None:
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    assert list(fields) == list(SETTINGS)
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    assert [row[0] for row in documented] == list(SETTINGS)
    for name, variables, default, meaning in documented:
        setting, field = SETTINGS[name], fields[name]
        assert re.findall(r"`(\w+)`", variables) == [variable(name), *setting.variables]
        assert meaning == setting.meaning
        if field.default is not msgspec.NODEFAULT:
            assert default == (shown(name, field.default) or "–")
