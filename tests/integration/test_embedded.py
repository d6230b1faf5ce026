"""The server that comes along: its configuration in effect, its address, its program."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from evq.cli.stack import embedded
from evq.cli.stack.embedded import Door, greeting
from evq.core.errors import Conflict, ServerTooOld, SettingsError, UsageError
from evq.core.listening import Address

SECONDS = 20.0


@pytest.mark.parametrize(
    ("sync", "always", "interval"), [("always", True, 120e9), (5.0, False, 5e9)]
)
async def test_the_configuration_is_in_effect(
    tmp_path: Path, sync: str | float, always: bool, interval: float
) -> None:
    folder = tmp_path / 'a "store" \\ é'
    folder.mkdir()
    variables = embedded.server_variables(
        Address("127.0.0.1", -1),
        name="evq-test",
        token="12e4",
        folder=folder,
        log=tmp_path / "log",
        sync=sync,
    )
    argv = embedded.server_argv(embedded.find_server(None).path, None)
    more = ("-m", "-1", "--ports_file_dir", str(tmp_path))
    with subprocess.Popen([*argv, *more], env=variables) as server:
        try:
            ports = tmp_path / f"nats-server_{server.pid}.ports"
            deadline = time.monotonic() + SECONDS
            while not (ports.exists() and ports.read_text().rstrip().endswith("}")):
                assert server.poll() is None and time.monotonic() < deadline
                threading.Event().wait(0.01)  # nothing announces that the file is whole
            where = json.loads(ports.read_text())
            varz = json.load(urllib.request.urlopen(where["monitoring"][0] + "/varz"))
            port = int(where["nats"][0].rpartition(":")[2])
            info = await greeting(Door("127.0.0.1", port, "12e4"))
        finally:
            server.terminate()
    config = varz["jetstream"]["config"]
    assert (config.get("sync_always", False), config["sync_interval"]) == (always, interval)
    assert config["store_dir"] == str(folder / "jetstream")
    assert varz["jetstream"]["limits"]["default_max_consumers"] == 100_000
    assert (varz["max_payload"], info and info["auth_required"]) == (1024**2, True)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0, True),
        ("localhost", "localhost", 4222, True),
        ("[::1]:4000", "::1", 4000, True),
        ("0.0.0.0:4222", "0.0.0.0", 4222, False),
        ("gpu-head:4222", "gpu-head", 4222, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    address = embedded.parse_listen(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", ":4222", "host:port", "host:70000", "a b:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        embedded.parse_listen(text)


def test_a_server_that_is_too_old_or_no_server(tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho nats-server: v2.9.10\n")
    program.chmod(0o755)
    with pytest.raises(ServerTooOld) as old:
        embedded.find_server(str(program))
    assert "2.9.10" in old.value.what and "EVQ_NATS_SERVER" in old.value.fix
    with pytest.raises(SettingsError, match="no nats-server program"):
        embedded.find_server("/bin/true")
    with pytest.raises(SettingsError, match="no nats-server program"):
        embedded.find_server(str(tmp_path / "nothing"))


def test_two_ports_are_two_ports() -> None:
    first = embedded.take_any_port("127.0.0.1", 0)
    second = embedded.take_any_port("127.0.0.1", first.number)
    with contextlib.ExitStack() as stack:
        stack.callback(first.release)
        stack.callback(second.release)
        assert first.number != second.number
        with pytest.raises(Conflict):
            embedded.take_port(Address("127.0.0.1", first.number))
