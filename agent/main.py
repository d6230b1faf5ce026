"""The agent's process: options in, signals handled, everything closed at the end.

The login comes in the environment variable EVQ_LOGIN, because arguments can be read by every
user of the machine, and that of tasks which ask for one in EVQ_CLIENT_LOGIN if it is another.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from ..core.bus.connect import Bus, Login, connect, read_login
from ..core.bus.loop import loop_factory
from ..core.errors import Conflict, EvqError, ServerTooOld, Unreachable, report
from ..core.events import AgentUp
from ..core.ids import check_name
from ..core.ports import BusAway
from ..core.sdk.author import Author, host_name
from ..core.sdk.installing import install_sdk
from . import probe
from .attempts.kept import Kept
from .attempts.lease import LeaseKeeper
from .attempts.results import Results
from .attempts.variables import passwords, setup_variables
from .caretaker import Caretaker
from .config import Config
from .containers.lodging import sweep
from .gpus.find import open_pool
from .gpus.pool import Pool
from .instances.diary import RUNS, Diary
from .limits.cgroups import Cgroups
from .limits.memory import MemoryWatch
from .loop import Agent
from .machine.watch import MachineWatch
from .means import Means
from .options import parse
from .reporting.channel import Channel
from .reporting.outbox import Outbox
from .reporting.redactor import Redactor
from .reporting.spool import Spool
from .secret_sources import SecretSources
from .sources.credentials import credentials
from .supervision.forkserver import Forkserver
from .trackers.door import Door, listening
from .trackers.office import new_office
from .trust import trusted_file

log = logging.getLogger("evq.agent")

LOOK_AGAIN = 0.5
"""Seconds between two tries to reach a server that is not there."""

SAY_AGAIN = 60.0
"""Seconds after which an agent that waits for its server says so again."""

INTERRUPTED = 130


@contextmanager
def named(config: Config, host: str) -> Iterator[Config]:
    """The configuration with a name that no other agent on this machine has, and its own folder.

    Without `--name` it is `host`, with a number behind it from the second agent on; one for
    services says so in its name.
    """
    host += "-services" if config.services else ""
    names = [config.name] if config.name else [host, *(f"{host}-{n}" for n in range(2, 1000))]
    holder = ""
    for name in names:
        check_name(name, "agent")
        folder = config.state / "agents" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.seek(0)
                holder = lock.read()
                continue
            lock.truncate(0)
            lock.write(
                f"process {os.getpid()}, up since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC,"
            )
            lock.flush()
            trusted = trusted_file(config.extra_ca, folder)
            yield msgspec.structs.replace(config, name=name, state=folder, trusted=trusted)
            return
    raise Conflict(
        f"an agent named {names[0]} is running on this machine",
        why=f"{holder} holds {config.state / 'agents' / names[0] / 'lock'}",
        fix="choose another --name, or leave it out",
    )


def known_passwords(config: Config) -> dict[str, str]:
    """What the agent knows and no log may show, by a name for each."""
    logins = credentials(config.git_credentials, config.git_protocol, config.git_ssh)
    return passwords(setup_variables(config.pass_env)) | logins.passwords()


@contextmanager
def socket_folder(state: Path) -> Iterator[Path]:
    """A private folder for sockets, whose path must be short: the kernel allows 107 bytes.

    Its name comes from the agent's own folder, so that what a killed agent left is found again.
    """
    name = "evq-" + hashlib.sha256(bytes(state)).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} is somebody else's")
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="evq-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def reached(login: Login, config: Config) -> AsyncIterator[Bus]:
    """A bus to a server that is ready. Waits for the server, saying so now and then.

    Raises `Denied` or `ServerTooOld` at once, which waiting does not mend, and `Unreachable` if
    the agent was told not to wait.
    """
    said_at = float("-inf")
    while True:
        try:
            async with AsyncExitStack() as stack:
                bus = await stack.enter_async_context(connect(login, f"agent {config.name}"))
                bus.on_error = lambda error: log.warning("NATS: %s", error)
                await bus.prepare()
                ours = stack.pop_all()
            break
        except ServerTooOld:
            raise
        except (Unreachable, BusAway) as error:
            if config.no_wait:
                raise _unreachable(error) from error
            if time.monotonic() - said_at >= SAY_AGAIN:
                said_at = time.monotonic()
                log.warning("waiting for the server: %s", error)
            await asyncio.sleep(LOOK_AGAIN)
    async with ours:
        yield bus


def _unreachable(error: Unreachable | BusAway) -> Unreachable:
    if isinstance(error, Unreachable):
        return error
    return Unreachable(
        "the NATS server went away while the agent was starting",
        why=str(error),
        fix="start the agent again when the server is back: evq status",
    )


async def work(config: Config, login: Login) -> None:
    """Be an agent until a signal says stop."""
    instance = secrets.token_hex(6)
    if ended := probe.end_leftovers("EVQ_AGENT_FOLDER", str(config.state)):
        log.warning("ended %d processes that an earlier agent left", ended)
    await asyncio.to_thread(sweep, config, log.warning)
    sources = SecretSources(os.environ, config.secrets_env, config.secrets_file)
    sources.check()
    pool = open_pool(config, instance)
    config = msgspec.structs.replace(config, slots=config.slots or max(1, len(pool.chosen)))
    async with reached(login, config) as bus:
        outbox = Outbox(bus, Spool(config.state / "spool", config.spool_bytes))
        async with equipped(config, bus, instance, outbox, sources, pool) as (means, channels):
            agent = Agent(means, describe(means), channels)
            obey_signals(agent)
            await agent.run()


@asynccontextmanager
async def equipped(
    config: Config,
    bus: Bus,
    instance: str,
    outbox: Outbox,
    sources: SecretSources,
    pool: Pool,
) -> AsyncIterator[tuple[Means, list[Channel]]]:
    """What attempts work with, and a channel for each slot. Gone when the block ends."""
    async with AsyncExitStack() as stack:
        stack.callback(outbox.close)
        stack.callback(pool.port.close)
        diary = Diary(config.state / RUNS, instance)
        stack.callback(diary.close)
        kept = Kept(config.state / "work")
        kept.clear()
        cgroups = await open_cgroups(config, instance)
        stack.callback(cgroups.close)
        forkserver = await Forkserver.start(cgroups.bases, holds=(diary.descriptor,))
        stack.push_async_callback(forkserver.close)
        await forkserver.warm(min(config.slots, 8))
        sockets = stack.enter_context(socket_folder(config.state))
        channels = [
            Channel(sockets / str(slot), config.state / "work" / f"slot-{slot}")
            for slot in range(config.slots)
        ]
        for channel in channels:
            stack.callback(channel.close)
        door = None
        if "mlflow" in config.trackers:
            door = Door(listening(), new_office(sockets, config.state / "work"))
            stack.push_async_callback(door.close)
        memory = MemoryWatch()
        stack.callback(memory.close)
        means = Means(
            bus=bus,
            author=Author(config.name),
            config=config,
            instance=instance,
            host=host_name(),
            forkserver=forkserver,
            keeper=LeaseKeeper(bus, config, instance),
            outbox=outbox,
            results=Results(config.state / "results"),
            kept=kept,
            sdk=install_sdk(config.state / "sdk"),
            secrets=sources,
            redactor=Redactor(known_passwords(config)),
            cgroups=cgroups,
            memory=memory,
            caretaker=Caretaker(config, memory, kept),
            watch=MachineWatch(bus, config, instance, pool.port, pool.chosen),
            pool=pool,
            diary=diary,
            door=door,
            login=own_login(),
            client=client_login(),
        )
        yield means, channels


async def open_cgroups(config: Config, instance: str) -> Cgroups:
    """Where limits are put into force; what earlier runs of the agent left there is gone."""
    cgroups = Cgroups(config.state, instance)
    cgroups.settle()
    await asyncio.to_thread(cgroups.sweep)
    for controller, why in cgroups.lacking.items():
        log.info("limits by %s cannot be put into force here: %s", controller, why)
    return cgroups


def describe(means: Means) -> AgentUp:
    """The agent and its machine, as it introduces itself."""
    config = means.config
    return AgentUp(
        agent=config.name,
        instance=means.instance,
        host=host_name(),
        pid=os.getpid(),
        queues=config.queues,
        order=config.order,
        slots=config.slots,
        version=version("evq"),
        cpus=probe.cpus(),
        memory=probe.memory_bytes(),
        platform=probe.platform_text(),
        python=platform.python_version(),
        gpus=tuple(gpu.id for gpu in means.pool.chosen),
        services=config.services,
        gpu_memory=tuple(gpu.memory for gpu in means.pool.chosen),
    )


def obey_signals(agent: Agent) -> None:
    """The first SIGTERM or SIGINT drains, a second one gives the running tasks back."""
    loop = asyncio.get_running_loop()
    told = False

    def stop() -> None:
        nonlocal told
        if told:
            log.info("giving the running tasks back")
            agent.give_back()
        else:
            log.info("draining; a second signal gives the running tasks back")
            agent.drain()
        told = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def main(argv: list[str] | None = None) -> int:
    """Run an agent; returns the exit status."""
    logging.basicConfig(
        level=os.environ.get("EVQ_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    return answer(lambda: _serve(parse(argv)))


def _serve(config: Config) -> int:
    with named(config, host_name()) as ours, asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(work(ours, own_login()))
    return 0


def answer(act: Callable[[], int]) -> int:
    """The exit status of `act`; what goes wrong is said on stderr."""
    try:
        return act()
    except KeyboardInterrupt:
        return INTERRUPTED
    except EvqError as error:
        print(report(error), file=sys.stderr)
        return error.exit_code


def own_login() -> Login:
    """Who we are to the server. Raises `SettingsError`."""
    return read_login(os.environ.get("EVQ_LOGIN", "{}"), "evq agent")


def client_login() -> Login:
    """Who tasks are to the server that ask for a login. Raises `SettingsError`."""
    given = os.environ.get("EVQ_CLIENT_LOGIN")
    return read_login(given, "evq agent") if given else own_login()
