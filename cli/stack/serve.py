"""What `evq up` does: serve one store with a NATS server, a projector and an agent."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.metadata
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ...core import errors
from ...core.configuration import OF_A_SERVER
from ...core.errors import EvqError
from ...core.fleet.services import QUEUE
from ...core.listening import DASHBOARD_PORT, Address
from ...core.sdk.identity import myself
from ...core.sdk.running import Up
from ...core.sdk.viewers import Viewers
from ...core.settings import SETTINGS, variable
from ...core.units import duration_text
from . import embedded
from .embedded import Door, Port, Tls
from .stack import Process, Stack, StartFailed, follow, last_lines, rotate
from .store import Store, check_disk

SERVER = "nats-server"
DRAIN_SECONDS = 10.0
SERVICES_SECONDS = 0.5
_HEAL_SECONDS = 10.0
_CLEAN_UP_SECONDS = 5.0
_SERVER_SECONDS = 30.0
_LONG_START_SECONDS = 5.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to bring up. `listen` of `None` is loopback, on the usual port or another free one."""

    store: Path
    listen: Address | None = None
    tls: Tls | None = None
    sync: str | float = "always"
    nats_server: str | None = None
    projector: bool = True
    agent: bool = True
    services: bool = True
    ui: bool = True
    ui_port: int = 0
    queues: tuple[str, ...] = ("default",)
    order: str = "strict"
    slots: int | None = None
    grace: float = 30.0
    state_dir: Path | None = None


Members = Callable[[Plan, Door], Sequence[Process]]
"""What runs beside the server, in the order of its start."""


def members(plan: Plan, door: Door) -> list[Process]:
    """The projector, the agents and the dashboard, as far as `plan` wants them."""
    env = child_environment(plan, door)
    ears = {name: Ear() for name in ("projector", "agent", "services", "ui")}
    slots = () if plan.slots is None else ("--slots", str(plan.slots))
    projector = Process(
        name="projector",
        argv=evq("projector"),
        env={**env, "NOTIFY_SOCKET": ears["projector"].address},
        stop_order=2,
        ready=ears["projector"].heard,
    )

    def agent(name: str, *options: str, drain: float, awaited: bool = True) -> Process:
        return Process(
            name=name,
            argv=evq("agent", *options, "--no-wait"),
            env={**env, "NOTIFY_SOCKET": ears[name].address},
            stop_order=1,
            ready=ears[name].heard,
            may_rest=True,
            awaited=awaited,
            stop=(
                (signal.SIGTERM, drain),
                (signal.SIGINT, plan.grace + _CLEAN_UP_SECONDS),
            ),
        )

    queues = ("--queues", ",".join(plan.queues), "--order", plan.order)
    # Its tasks run as whoever owns the store, and may read the login there anyway.
    tasks = agent("agent", *queues, *slots, "--allow-client", drain=DRAIN_SECONDS)
    # Services have no end of their own that one could wait for.
    services = agent("services", "--services", drain=SERVICES_SECONDS, awaited=False)
    light = plan.agent and plan.services and QUEUE not in plan.queues
    ui = Process(
        name="ui",
        argv=evq("ui", "--listen", f"127.0.0.1:{plan.ui_port}"),
        env={**env, "NOTIFY_SOCKET": ears["ui"].address},
        stop_order=1,
        ready=ears["ui"].heard,
        awaited=False,
        hide="the dashboard is at",
    )
    wanted = {"projector": plan.projector, "agent": plan.agent, "services": light, "ui": plan.ui}
    return [one for one in (projector, tasks, services, ui) if wanted[one.name]]


class Ear:
    """Where a child says that it is ready; see `core.sdk.ready`.

    The socket has a name the kernel chose, outside of the file system: nothing to clean up.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("")
        self.address = "@" + self._socket.getsockname()[1:].decode()

    async def heard(self) -> bool:
        """Whether the child has said so since it was last asked."""
        try:
            return b"READY=1" in self._socket.recv(4096)
        except BlockingIOError:
            return False


def evq(*arguments: str) -> tuple[str, ...]:
    """The command line of another evq process, of this very installation."""
    # -P: a `queue.py` in the folder where the user happens to be must not replace Python's.
    return (sys.executable, "-P", "-m", "evq.cli.main", *arguments)


def child_environment(plan: Plan, door: Door) -> dict[str, str]:
    """Our environment, with the server of this store in place of any other."""
    other = {"NATS_CONTEXT"} | {
        alias
        for name in OF_A_SERVER | {"server"}
        for alias in (variable(name), *SETTINGS[name].variables)
    }
    ours = {
        "server": door.url,
        "token": door.token,
        "ca": door.ca,
        "store": str(plan.store),
        "state_dir": str(plan.state_dir or plan.store / "agent"),
    }
    kept = {name: value for name, value in os.environ.items() if name not in other}
    return kept | {variable(name): value for name, value in ours.items() if value}


def serve(
    plan: Plan,
    beside: Members = members,
    *,
    ready: Callable[[Up], None],
    say: Callable[[str], None] | None = None,
) -> None:
    """Serve the store until SIGTERM, SIGINT or SIGHUP; `ready` is called once all of it is up.

    `say` gets the log lines of all processes. Raises `AlreadyUp`, `Conflict`, `StartFailed`,
    `ServerTooOld`, `SettingsError` or `UsageError`. Leaves no process behind.
    """
    embedded.check_exposure(plan.listen or Address("127.0.0.1", 0), plan.tls)
    store = Store(plan.store)
    store.prepare()
    _look_at_disk(store, say or (lambda line: None))
    program = embedded.find_server(plan.nats_server)
    with store.hold():
        ui_port = _ui_port(store, plan)
        port = _after_the_last(store, plan)
        plan = msgspec.structs.replace(plan, ui_port=ui_port.number if ui_port else 0)
        try:
            asyncio.run(_serve(plan, store, program, port, beside, ready, say))
        finally:
            store.withdraw()
            port.release()
            if ui_port:
                ui_port.release()


def _look_at_disk(store: Store, say: Callable[[str], None]) -> None:
    mounts = Path("/proc/self/mountinfo")
    if mounts.exists() and (warning := check_disk(store.path, mounts.read_text())):
        say(f"warning: {warning}")


def _after_the_last(store: Store, plan: Plan) -> Port:
    """End what a killed `evq up` left behind, and take a port: its own again if possible."""
    for left in store.left_behind():
        if left.process:
            left.process.end(_HEAL_SECONDS)
    last = store.last_port()
    store.withdraw()
    if plan.listen is None:
        return embedded.take_any_port("127.0.0.1", last or embedded.USUAL_PORT)
    if plan.listen.port == 0:
        return embedded.take_any_port(plan.listen.host, last or 0)
    return embedded.take_port(plan.listen)


def _ui_port(store: Store, plan: Plan) -> Port | None:
    """The dashboard's port: the one that people have in their bookmarks, if it is free."""
    if not plan.ui:
        return None
    return embedded.take_any_port("127.0.0.1", Viewers(store.path).last_port() or DASHBOARD_PORT)


async def _serve(
    plan: Plan,
    store: Store,
    program: embedded.Program,
    port: Port,
    beside: Members,
    ready: Callable[[Up], None],
    say: Callable[[str], None] | None,
) -> None:
    address = Address(plan.listen.host if plan.listen else "127.0.0.1", port.number)
    door = _door(address, plan.tls, store.token())
    up = Up(
        url=door.url,
        token=store.token(),
        ca=door.ca,
        listen=str(address),
        version=importlib.metadata.version("evq"),
        nats_version=program.version,
        sync=plan.sync if isinstance(plan.sync, str) else duration_text(plan.sync),
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        process=myself(),
        processes=(),
        ui=f"http://127.0.0.1:{plan.ui_port}" if plan.ui else "",
    )
    is_ready = False

    def publish() -> None:
        if is_ready:
            store.publish(msgspec.structs.replace(up, processes=stack.records))

    def all_ready() -> None:
        nonlocal is_ready
        is_ready = True
        publish()
        ready(up)

    server = _server(plan, store, program, address, door)
    stack = Stack([server, *beside(plan, door)], store.logs, publish)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    followers = [asyncio.create_task(follow(m, say)) for m in stack.members if say]
    try:
        await stack.run(stop, all_ready)
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


def _door(address: Address, tls: Tls | None, token: str) -> Door:
    """How this machine's own processes reach the server: TLS wants a name it can vouch for."""
    host = socket.getfqdn() if address.wildcard else address.host
    return Door(host, address.port, token, tls.ca if tls else None)


def _server(
    plan: Plan, store: Store, program: embedded.Program, address: Address, door: Door
) -> Process:
    async def answers() -> bool:
        return await embedded.greeting(door) is not None

    variables = embedded.server_variables(
        address,
        name=f"evq-{socket.gethostname()}",
        token=store.token(),
        folder=store.nats,
        log=store.logs / f"{SERVER}.log",
        sync=plan.sync,
    )
    return Process(
        name=SERVER,
        argv=embedded.server_argv(program.path, plan.tls),
        env={**os.environ, **variables},
        stop_order=3,
        stop=((signal.SIGTERM, _SERVER_SECONDS),),
        ready=answers,
        hide="[INF]",
    )


def report(fd: int, outcome: Up | EvqError) -> None:
    """Tell the `evq up -d` that started us how it went."""
    if isinstance(outcome, EvqError):
        kind, parts = type(outcome).__name__, (outcome.what, outcome.why, outcome.fix)
        message = msgspec.json.encode({"kind": kind, "parts": parts})
    else:
        message = msgspec.json.encode({"up": outcome})
    with contextlib.suppress(BrokenPipeError), open(fd, "wb") as pipe:
        pipe.write(message)


class _Report(msgspec.Struct):
    up: Up | None = None
    kind: str = ""
    parts: tuple[str, str, str] = ("", "", "")


def detach(arguments: Sequence[str], store: Store, say: Callable[[str], None]) -> Up:
    """Start `evq up` with `arguments` in the background; return once all of it is up.

    Raises what it raises there.
    """
    store.prepare()
    _look_at_disk(store, say)
    log = store.logs / "up.log"
    rotate(log)
    reading, writing = os.pipe()
    with log.open("ab") as output:
        offset = output.tell()
        child = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "evq.cli.stack.up",
                *arguments,
                "--ready-fd",
                str(writing),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writing],
            start_new_session=True,
        )
    os.close(writing)
    try:
        told = _told(reading, log, say)
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    if told.up:
        child.returncode = 0  # it lives on without us, and Popen would warn
        return told.up
    if told.kind:
        child.wait()
        kind = getattr(errors, told.kind, StartFailed)
        what, why, fix = told.parts
        raise kind(what, why=why, fix=fix)
    raise StartFailed(
        "evq up ended before it was ready",
        why="\n    ".join([f"exit status {child.wait()}", *last_lines(log, offset)]),
        fix=f"see {log}",
    )


def _told(reading: int, log: Path, say: Callable[[str], None]) -> _Report:
    if not select.select([reading], [], [], _LONG_START_SECONDS)[0]:
        say(f"still starting; a large store takes its time (see {log.parent})")
    with open(reading, "rb") as pipe:
        return msgspec.json.decode(pipe.read() or b"{}", type=_Report)
