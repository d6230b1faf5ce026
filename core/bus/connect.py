"""From an address to the ports: connect, look at the server, make the streams that are missing."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from ..errors import Denied, ServerTooOld, SettingsError, Unreachable
from ..ports import BusAway
from ..subjects import (
    ARTIFACTS_BUCKET,
    CODE_BUCKET,
    LEVELS_BUCKET,
    LIFECYCLE_STREAM,
    LIFECYCLE_SUBJECTS,
    PRESENCE_BUCKET,
    SAMPLES_STREAM,
    SAMPLES_SUBJECTS,
    TELEMETRY_STREAM,
    TELEMETRY_SUBJECTS,
)
from .calls import NatsCalls
from .depots.jetstream import JetStreamDepot
from .hints import JetStreamHints
from .objects import JetStreamObjects
from .presence import JetStreamPresence
from .requests import ApiError, Requests
from .stream import SECOND, Stream
from .waiting import first_of

API_LEVEL = 5
"""JetStream's API level from which all that evq needs is there (nats-server 2.15)."""

STREAM_EXISTS = 10058
NOT_CREATED = 10049
CREATE_PAUSES = (0.05, 0.2, 1.0)
"""Seconds between tries to make a stream."""

DAY = 86_400
SILENCE_SECONDS = 0.2


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is and who we are. Paths are to files; all but `server` is optional."""

    server: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds: str | None = None
    nkey: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    inbox_prefix: str | None = None


def read_login(text: str, verb: str) -> Login:
    """The login that the command line hands to another process, as the JSON in EVQ_LOGIN.

    Raises `SettingsError`, which says that `verb` starts such a process.
    """
    try:
        return msgspec.json.decode(text, type=Login)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            "EVQ_LOGIN cannot be read", why=str(error), fix=f"start it by: {verb}"
        ) from error


class Bus:
    """A connection and the ports on it."""

    def __init__(self, client: Client, requests: Requests) -> None:
        self.client = client
        self.requests = requests
        self.log = Stream(requests, LIFECYCLE_STREAM)
        self.telemetry = Stream(requests, TELEMETRY_STREAM)
        self.samples = Stream(requests, SAMPLES_STREAM)
        self.hints = JetStreamHints(requests, Stream(requests, f"KV_{LEVELS_BUCKET}"))
        self.presence = JetStreamPresence(requests, Stream(requests, f"KV_{PRESENCE_BUCKET}"))
        self.objects = JetStreamObjects(client.jetstream(), requests)
        self.depot = JetStreamDepot(requests)
        self.calls = NatsCalls(requests)
        self.standing = asyncio.Event()
        """Set while the connection stands."""
        self.standing.set()
        self.since = asyncio.get_running_loop().time()
        """Since when, on the loop's clock, the server has been there without a break."""
        self.on_error: Callable[[Exception], None] | None = None

    @property
    def server(self) -> tuple[str, int] | None:
        """Host and port of the server that the connection leads to."""
        url = self.client.connected_url
        return (url.hostname, url.port or 4222) if url and url.hostname else None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as we know."""
        return self.client.is_connected

    async def wait(self, away: BusAway) -> None:
        """Wait until it makes sense to try again after `away`."""
        if self.standing.is_set():
            # The connection stands but the server was silent: it may be starting, or overloaded.
            # It kept the others waiting, too: they get as much time as after a lost connection.
            self.since = asyncio.get_running_loop().time()
            await asyncio.sleep(SILENCE_SECONDS)
        await self.standing.wait()

    async def _disconnected(self) -> None:
        self.standing.clear()
        self.requests.fail_all("the connection is gone")

    async def _reconnected(self) -> None:
        self.since = asyncio.get_running_loop().time()
        self.standing.set()
        await self.hints.wake()

    async def _error(self, error: Exception) -> None:
        if self.on_error:
            self.on_error(error)

    async def prepare(self) -> None:
        """Check that the server can do what evq needs, and make the streams that are missing."""
        await self._check_server()
        for config in _streams():
            await self._ensure(config)

    async def _check_server(self) -> None:
        answer = msgspec.json.decode(await self.requests.api("INFO"))
        level = answer.get("api", {}).get("level", 0)
        if level < API_LEVEL:
            version = self.client.connected_server_version
            raise ServerTooOld(
                f"the NATS server at {_public(self.client)} is too old",
                why=f"it is {version} with JetStream API level {level}, evq needs {API_LEVEL}",
                fix="upgrade it to nats-server 2.15.1 or later",
            )

    async def _ensure(self, config: dict[str, Any]) -> None:
        for pause in (*CREATE_PAUSES, None):
            try:
                await self.requests.api(f"STREAM.CREATE.{config['name']}", config, timeout=15)
                return
            except ApiError as error:
                # Somebody made it, perhaps with other limits: theirs count.
                if error.err_code == STREAM_EXISTS:
                    return
                # Of two who make it at the same moment, the server may tell one that it failed.
                if error.err_code != NOT_CREATED or pause is None:
                    raise
                await asyncio.sleep(pause)


def _streams() -> list[dict[str, Any]]:
    """The streams' configurations; docs/architecture.md says why they are so."""
    return [
        {
            "name": LIFECYCLE_STREAM,
            "subjects": [LIFECYCLE_SUBJECTS],
            "retention": "limits",
            "storage": "file",
            "num_replicas": 1,
            "discard": "old",
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "deny_delete": True,
            "allow_direct": True,
            "allow_msg_schedules": True,
            "allow_rollup_hdrs": True,
            "allow_atomic": True,
            "duplicate_window": 600 * SECOND,
            "max_consumers": 100_000,
        },
        {
            "name": TELEMETRY_STREAM,
            "subjects": [TELEMETRY_SUBJECTS],
            "storage": "file",
            "num_replicas": 1,
            "discard": "old",
            "max_age": 30 * DAY * SECOND,
            "max_bytes": -1,
            "allow_direct": True,
            "persist_mode": "async",
            "duplicate_window": 1800 * SECOND,
        },
        {
            "name": SAMPLES_STREAM,
            "subjects": [SAMPLES_SUBJECTS],
            "storage": "file",
            "compression": "s2",
            "num_replicas": 1,
            "discard": "old",
            "max_age": 2 * DAY * SECOND,
            "max_bytes": -1,
            "allow_direct": True,
            "persist_mode": "async",
        },
        {
            "name": f"KV_{PRESENCE_BUCKET}",
            "subjects": [f"$KV.{PRESENCE_BUCKET}.>"],
            # In memory the server would forget the whole bucket when it restarts, and no agent
            # could renew its lease. Its values live for seconds: no write is forced to the disk.
            "storage": "file",
            "persist_mode": "async",
            "num_replicas": 1,
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "allow_msg_ttl": True,
        },
        {
            "name": f"KV_{LEVELS_BUCKET}",
            "subjects": [f"$KV.{LEVELS_BUCKET}.>"],
            "storage": "file",
            "num_replicas": 1,
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        },
        {
            "name": f"OBJ_{CODE_BUCKET}",
            "subjects": [f"$O.{CODE_BUCKET}.C.>", f"$O.{CODE_BUCKET}.M.>"],
            "storage": "file",
            "num_replicas": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        },
        {
            "name": f"OBJ_{ARTIFACTS_BUCKET}",
            "subjects": [f"$O.{ARTIFACTS_BUCKET}.C.>", f"$O.{ARTIFACTS_BUCKET}.M.>"],
            "storage": "file",
            "num_replicas": 1,
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "allow_atomic": True,
        },
    ]


def _public(client: Client) -> str:
    url = client.connected_url
    return f"{url.hostname}:{url.port}" if url else "?"


def _tls(login: Login) -> ssl.SSLContext | None:
    if not (login.ca or login.cert or login.server.startswith("tls://")):
        return None
    context = ssl.create_default_context(cafile=login.ca)
    if login.cert:
        context.load_cert_chain(login.cert, login.key)
    return context


@asynccontextmanager
async def connect(login: Login, name: str, patience: float = 2.0) -> AsyncIterator[Bus]:
    """The ports on a server, for as long as the block runs.

    `patience` is how many seconds the first connection may take; once it stood, a lost one is
    sought again for ever. Raises `Unreachable` or `Denied`.
    """
    client = Client()
    bus: Bus | None = None

    async def disconnected() -> None:
        if bus:
            await bus._disconnected()

    async def reconnected() -> None:
        if bus:
            await bus._reconnected()

    errors: list[Exception] = []
    refused = asyncio.Event()

    async def failed(error: Exception) -> None:
        if bus:
            await bus._error(error)
            return
        errors.append(error)
        if _is_refusal(error):
            refused.set()

    options: dict[str, Any] = {
        "servers": login.server.split(","),
        "name": name,
        "user": login.user,
        "password": login.password,
        "token": login.token,
        "user_credentials": login.creds,
        "nkeys_seed": login.nkey,
        "tls": _tls(login),
        "inbox_prefix": (login.inbox_prefix or "_INBOX").encode(),
        "disconnected_cb": disconnected,
        "reconnected_cb": reconnected,
        "error_cb": failed,
        "connect_timeout": patience,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        # With a buffer, a publish that was reported as failed would be sent after a reconnect.
        "pending_size": 0,
    }
    given = {key: value for key, value in options.items() if value is not None}
    try:
        # The client itself would try a login that was refused again and again.
        await first_of(client.connect(**given), refused.wait(), timeout=patience)
        if not client.is_connected:
            raise TimeoutError
    except (TimeoutError, OSError, nats.errors.Error) as error:
        with suppress(Exception):
            await client.close()
        raise _why(login, [*errors, error]) from error
    try:
        requests = Requests(client)
        await requests.start()
        bus = Bus(client, requests)
        yield bus
    finally:
        with suppress(Exception):
            await client.close()


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, nats.errors.AuthorizationError) or (
        "authorization" in str(error).lower()
    )


def _why(login: Login, errors: Sequence[Exception]) -> Exception:
    """The error that tells most: a refusal, which may be followed by a reset of the connection,
    else the first."""
    error = next(filter(_is_refusal, errors), errors[0])
    where = ",".join(server.rpartition("@")[2] for server in login.server.split(","))
    if _is_refusal(error):
        return Denied(
            f"the NATS server at {where} does not let us in",
            why=str(error),
            fix="check the token, credentials or NKEY: evq config",
        )
    return Unreachable(
        f"cannot reach a NATS server at {where}",
        why=str(error) or type(error).__name__,
        fix="evq up starts one on this machine; evq config shows where the address came from",
    )
