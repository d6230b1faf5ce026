"""Where the dashboard listens, and under which addresses browsers may know it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ...core.errors import Conflict, UsageError
from ...core.listening import Address


class Door(msgspec.Struct, frozen=True):
    """A socket that listens. `cert` and `key` are files, or null without TLS."""

    socket: socket.socket
    url: str
    """The address for people, without a slash at its end."""
    origins: frozenset[str]
    cert: str | None = None
    key: str | None = None


def open_door(
    address: Address,
    *,
    cert: str | None = None,
    key: str | None = None,
    public: Sequence[str] = (),
    named: bool = False,
) -> Door:
    """Listen. `public` are addresses by which a proxy or another name leads here; `named` says
    whether there are users with names.

    Raises `UsageError` if others could come in without a login or read it from the wire, and
    `Conflict` if the port is taken.
    """
    _check(address, cert, key, named)
    extra = frozenset(_origin(url) for url in public)
    listening = _listen(address)
    port = listening.getsockname()[1]
    scheme = "https" if cert else "http"
    hosts = _names(address)
    own = frozenset(_origin(f"{scheme}://{Address(host, port)}") for host in hosts)
    url = public[0].rstrip("/") if public else f"{scheme}://{Address(hosts[0], port)}"
    return Door(listening, url, own | extra, cert, key)


def _check(address: Address, cert: str | None, key: str | None, named: bool) -> None:
    if bool(cert) != bool(key):
        raise UsageError(
            "--tls-cert and --tls-key belong together", fix="--tls-cert FILE --tls-key FILE"
        )
    if cert and key:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError("the certificate cannot be used", why=str(error)) from error
    if address.loopback:
        return
    missing = [
        *(["TLS: others could read the login from the wire"] if not cert else []),
        *(["a user with a name: nobody could tell who did what"] if not named else []),
    ]
    if missing:
        raise UsageError(
            f"the dashboard does not listen on {address} like this",
            why="it lacks " + ", and ".join(missing),
            fix="evq ui user add NAME --role viewer\n"
            f"evq ui --listen {address} --tls-cert FILE --tls-key FILE\n"
            f"or keep it to this machine: evq ui --listen 127.0.0.1:{address.port}",
        )


def _listen(address: Address) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(where[:2], family=family, backlog=512)
    except OSError as error:
        raise Conflict(
            f"the dashboard cannot listen on {address}",
            why=error.strerror or str(error),
            fix=f"--listen {Address(address.host, 0)} takes any free port",
        ) from error


def _names(address: Address) -> list[str]:
    """The hosts by which browsers can come here; the first is for people."""
    if address.loopback:
        return list(dict.fromkeys([address.host, "localhost", "127.0.0.1", "::1"]))
    if address.wildcard:
        return list(dict.fromkeys([socket.getfqdn(), socket.gethostname(), "localhost"]))
    return [address.host]


def _origin(url: str) -> str:
    """`scheme://host:port` as a browser writes it: no port where it is the usual one."""
    parts = urlsplit(url.lower())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"{url!r} is no address of a web page", fix="--public-url https://evq.example.org"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    port = parts.port or usual
    return f"{parts.scheme}://{host}" + ("" if port == usual else f":{port}")
