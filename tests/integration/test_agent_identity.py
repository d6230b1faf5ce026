"""A name belongs to one agent, wherever it runs."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from evq.agent.config import Config
from evq.agent.duty.identity import Identity
from evq.core.bus.connect import connect
from evq.core.bus.memory import MemoryBus, MemoryServer
from evq.core.errors import Conflict
from evq.core.events import AgentDown, AgentUp
from evq.core.sdk.client import Client

COUNT = itertools.count()


class Machines:
    """Two hosts with a network of their own each, and a cable from each to this one."""

    def __init__(self, names: tuple[str, str]) -> None:
        self.names = names
        self._spaces: list[str] = []
        self._cables: list[str] = []

    def open(self) -> None:
        for number, name in enumerate(self.names):
            space = f"evq-{os.getpid()}-{number}"
            near = f"evq{next(COUNT)}p{os.getpid()}"
            ip("netns", "add", space)
            self._spaces.append(space)
            ip("link", "add", near, "type", "veth", "peer", "name", "up0", "netns", space)
            self._cables.append(near)
            ip("addr", "add", f"{self.gateway(name)}/30", "dev", near)
            ip("link", "set", near, "up")
            ip("-n", space, "addr", "add", f"{self._network(number)}.2/30", "dev", "up0")
            ip("-n", space, "link", "set", "up0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def gateway(self, name: str) -> str:
        """Where a host reaches this machine."""
        return f"{self._network(self.names.index(name))}.1"

    def _network(self, number: int) -> str:
        """One that no other run of these tests uses now."""
        own = 2 * (os.getpid() % 6000) + number
        return f"10.{200 + own // 256}.{own % 256}"

    def inside(self, name: str) -> list[str]:
        """What runs a command on that host."""
        shell = f'hostname {name} && exec "$@"'
        space = self._spaces[self.names.index(name)]
        return ["ip", "netns", "exec", space, "unshare", "--uts", "sh", "-c", shell, "sh"]

    def close(self) -> None:
        for cable in self._cables:
            ip("link", "delete", cable)
        for space in self._spaces:
            ip("netns", "delete", space)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def machines() -> Iterator[Machines]:
    """Two machines, as far as the kernel can play them."""
    if os.getuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "hostname"))):
        pytest.skip("playing two machines takes root, ip, unshare and hostname")
    found = Machines(("alpha", "beta"))
    try:
        found.open()
    except subprocess.CalledProcessError as error:
        found.close()
        pytest.skip(f"this kernel gives us no networks: {error.stderr.strip()}")
    yield found
    found.close()


@pytest.fixture
def start_on(
    machines: Machines, make_server: Any, tmp_path: Path, start_agent: Any, queue: Any
) -> Any:
    """`start_on("alpha", "one")` starts an agent `one` on that host."""
    server = make_server(tmp_path, host="0.0.0.0")

    def start(host: str, name: str, lease: float = 10) -> Any:
        login = replace(server.login, server=f"nats://{machines.gateway(host)}:{server.port}")
        return start_agent(
            [queue], "--lease", str(lease), name=name, login=login, folder=tmp_path / host,
            before=machines.inside(host),
        )  # fmt: skip

    start.login = server.login
    return start


async def up(login: Any, agent: Any, until: Any) -> Any:
    """The agent, when it is there: a host of its own hides the socket on which it says so."""
    async with connect(login, "test", patience=30) as bus:
        await bus.prepare()

        async def there() -> bool:
            assert agent.process.poll() is None, agent.said
            agents = await Client(bus).agents()
            return any(one.pid == agent.process.pid for one in agents)

        await until(there)
    return agent


async def test_on_a_second_host_the_name_is_refused_and_told_who_has_it(
    start_on: Any, until: Any
) -> None:
    first = await up(start_on.login, start_on("alpha", "one"), until)
    second = start_on("beta", "one")
    assert await second.over() == Conflict.exit_code
    error = second.said[second.said.index("error[") :]
    assert error.startswith("error[E04]: an agent named one is running on host alpha\n")
    assert f"process {first.process.pid} there, up since 20" in error
    assert "fix: choose another name: evq agent --name NAME" in error and "Traceback" not in error
    await up(start_on.login, start_on("beta", "two"), until)


async def test_a_name_is_free_when_its_agent_has_ended_or_is_silent_for_a_lease(
    start_on: Any, until: Any
) -> None:
    first = await up(start_on.login, start_on("alpha", "one", lease=2), until)
    first.process.send_signal(signal.SIGKILL)
    await first.over()
    second = await up(start_on.login, start_on("beta", "one"), until)
    second.terminate()
    assert await second.over() == 0
    await up(start_on.login, start_on("alpha", "one"), until)


async def test_a_restarted_agent_takes_its_own_name_over_at_once(
    queue: Any, start_agent: Any
) -> None:
    first = start_agent([queue], "--lease", "300").ready()
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(30)
    start_agent([queue], "--lease", "300", name=first.name).ready()
    ups = [(await queue.agent_event(first.name, AgentUp, number)).instance for number in (1, 2)]
    assert len(set(ups)) == 2


async def test_whoever_was_replaced_in_its_silence_ends(
    queue: Any, start_agent: Any, tmp_path: Path
) -> None:
    first = start_agent([queue], "--lease", "1").ready()
    first.process.send_signal(signal.SIGSTOP)
    # Its own hold on the name is not to run out in a silence of its own.
    second = start_agent([queue], "--lease", "60", name=first.name, folder=tmp_path / "b").ready()
    first.process.send_signal(signal.SIGCONT)
    assert await first.over() == Conflict.exit_code
    assert f"error[E04]: an agent named {first.name} is running on host" in first.said
    assert "Traceback" not in first.said
    second.terminate()
    assert await second.over() == 0
    assert (await queue.agent_event(first.name, AgentDown)).reason == "told to stop"


def identity(server: MemoryServer, folder: Path, host: str, instance: str) -> Identity:
    folder.mkdir(exist_ok=True)
    config = Config(name="one", queues=("q",), state=folder, cache=folder, lease=10.0)
    bus: Any = MemoryBus(server)
    return Identity(bus, config, instance, host, server.clock)


async def test_a_name_whose_last_word_was_not_answered_is_still_ours(tmp_path: Path) -> None:
    server = MemoryServer(lambda: 0.0)
    ours = identity(server, tmp_path / "a", "alpha", "1")
    await ours.take()
    # What was said is stored, and the answer lost.
    await ours._bus.presence.put("one", server.presence["one"][0].data, 10.0)
    await ours.renew()
    await ours.release()
    await identity(server, tmp_path / "b", "beta", "2").take()


async def test_a_copied_folder_on_another_host_is_another_home(tmp_path: Path) -> None:
    """Home directories may be shared by many hosts."""
    server = MemoryServer(lambda: 0.0)
    ours = identity(server, tmp_path, "alpha", "1")
    await ours.take()
    await identity(server, tmp_path, "alpha", "2").take()
    with pytest.raises(Conflict, match="on host alpha"):
        await ours.renew()
