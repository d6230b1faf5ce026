"""`evq agent --install-service`: a unit that systemd takes, and no secret that others can read."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from evq.cli.calling import configuration
from evq.cli.fleet.agent import agent
from evq.cli.options import THIS_RUN

SECRET = 'pass"word $HOME `id` %n'


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`unit("--queues", "a")` installs one for this user; gives its text, variables, output."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("EVQ_SERVER", "nats://head:4222")
    monkeypatch.setenv("EVQ_USER", "worker")
    monkeypatch.setenv("EVQ_PASSWORD", SECRET)
    monkeypatch.setenv("PATH", "/usr/local/bin:relative:/usr/bin:/a dir/bin")
    monkeypatch.chdir(tmp_path)
    configuration.cache_clear()
    monkeypatch.setattr(THIS_RUN, "server", None)

    def install(*words: str, name: str = "agent") -> tuple[str, dict[str, str], str]:
        done = CliRunner().invoke(agent, [*words, "--install-service", "--user"])
        assert done.exit_code == 0, done.output
        home = tmp_path / "config"
        stem = "evq-agent" if name == "agent" else f"evq-{name}"
        path, variables = home / f"systemd/user/{stem}.service", home / f"evq/{name}.env"
        assert stat.S_IMODE(variables.stat().st_mode) == 0o600
        pairs = (line.split("=", 1) for line in variables.read_text().splitlines())
        return path.read_text(), dict(pairs), done.output

    return install


def field(text: str, name: str) -> str:
    (value,) = (line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}="))
    return value


def test_the_same_options_with_absolute_paths(unit: Any, tmp_path: Path) -> None:
    text, variables, said = unit(
        *("--queues", "gpu,cpu", "--name", "gpu-01", "--slots", "2", "--label", "gpu=a100"),
        *("--cache-dir", "here", "--schedule", "mon-fri 20:00-08:00; sat,sun", "--allow-apt"),
        *("--grace", "20s", "--drain-timeout", "1h"),
        name="agent-gpu-01",
    )
    command = field(text, "ExecStart")
    assert command.startswith(f"{sys.executable} -P -m evq.cli.main agent ")
    for word in (
        *("--queues=gpu,cpu", "--name=gpu-01", "--slots=2", "--label=gpu=a100", "--allow-apt"),
        *(f"--cache-dir={tmp_path}/here", '"--schedule=mon-fri 20:00-08:00; sat,sun"'),
        *("--drain-timeout=1h", "--grace=20s"),
    ):
        assert word in command
    assert "install-service" not in command and "--user" not in command
    assert field(text, "TimeoutStopSec") == str(3600 + 20 + 30)
    assert field(text, "KillMode") == "mixed" and field(text, "Delegate") == "yes"
    assert field(text, "OOMPolicy") == "continue" and field(text, "Type") == "notify"
    assert field(text, "Environment") == '"PATH=/usr/local/bin:/usr/bin:/a dir/bin"'
    assert "systemctl --user enable --now evq-agent-gpu-01" in said and "enable-linger" in said
    assert variables["EVQ_SERVER"] == '"nats://head:4222"'


def test_the_login_stands_in_a_file_of_its_own(unit: Any) -> None:
    text, variables, said = unit()
    assert variables["EVQ_PASSWORD"] == r'"pass\"word \$HOME \`id\` %n"'
    assert "pass" not in text and "pass" not in said
    assert set(variables) == {"EVQ_SERVER", "EVQ_USER", "EVQ_PASSWORD"}
    assert "--drain-timeout" in field(text, "ExecStart")
    assert field(text, "TimeoutStopSec") == str(60 + 30 + 30)


def test_print_writes_nothing(unit: Any, tmp_path: Path) -> None:
    done = CliRunner().invoke(agent, ["--install-service", "--user", "--print"])
    assert done.exit_code == 0 and done.stdout.startswith("[Unit]\n")
    assert "EVQ_PASSWORD" in done.stderr and SECRET not in done.output
    assert not (tmp_path / "config").exists()


def test_without_a_server_that_is_told_now(
    unit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("EVQ_SERVER", "EVQ_USER", "EVQ_PASSWORD", "NATS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVQ_STORE", str(tmp_path / "none"))
    done = CliRunner().invoke(agent, ["--install-service", "--user"])
    assert "no NATS server is known" in str(done.exception)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_it(unit: Any, tmp_path: Path) -> None:
    unit(
        "--schedule", "mon-fri 20:00-08:00", "--queues", "a,b", "--docker-args", "--hostname=a$b%c"
    )
    path = tmp_path / "config/systemd/user/evq-agent.service"
    for scope in ("--user", "--system"):
        done = subprocess.run(
            ["/usr/bin/systemd-analyze", scope, "verify", "--man=no", path],
            capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path)}, check=False,
        )  # fmt: skip
        complaints = [line for line in done.stderr.splitlines() if "evq-agent" in line]
        assert done.returncode == 0 and complaints == [], done.stderr
