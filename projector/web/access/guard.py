"""Nobody gets past here without a token, and no foreign page speaks for somebody who has one.

It stands before everything, the websocket too. First come the checks that need no login: the host
that the browser believes to be talking to (a foreign name that was made to point here is refused)
and the origin of the page that asks. Then the login: a bearer token, or the cookie that a link
with a token is exchanged for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http import cookies
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

from itsdangerous import BadSignature, URLSafeTimedSerializer

from ....core.sdk.viewers import Viewers, fingerprint
from . import policy
from .doorstep import doorstep

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE_SECONDS = 30 * 86_400
SAFE = ("GET", "HEAD")
_LONGEST_FORM = 4096


class Guard:
    """An application with a door."""

    def __init__(self, app: App, viewers: Viewers, origins: frozenset[str]) -> None:
        """`origins` are the addresses under which browsers may know us: `https://host:port`."""
        self._app = app
        self._viewers = viewers
        self._origins = origins
        self._hosts = frozenset(origin.partition("://")[2] for origin in origins)
        self._signer = URLSafeTimedSerializer(viewers.secret(), "evq-ui")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's answer, or ours."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if why := self._foreign(scope):
            await _refuse(scope, send, 403, why)
            return
        if scope["type"] == "http" and scope["path"] == "/login":
            await self._login(scope, receive, send)
            return
        token, bearer = _token(scope)
        known = fingerprint(token) if token else self._cookie(scope)
        if not (known and self._viewers.by_fingerprint(known)):
            await self._ask_for_token(scope, send, wrong=bool(token))
        elif token and not bearer:
            await self._let_in(scope, send, token, _address_without_token(scope))
        else:
            scope["state"] = {**scope.get("state", {}), "fingerprint": known}
            await self._app(scope, receive, _with_policy(scope, send))

    # --- where the request comes from ---------------------------------------------------------

    def _foreign(self, scope: Scope) -> str | None:
        """Why this request is none of our own pages', in words; null if it may be one."""
        host = _header(scope, b"host")
        if host.lower() not in self._hosts:
            return f"this is not the dashboard of {host or 'a host without a name'}"
        origin = _header(scope, b"origin")
        if origin and origin.lower() not in self._origins:
            return f"a page of {origin} may not ask here"
        # A browser always names the origin of a page that opens a websocket or sends a form.
        must = scope["type"] == "websocket" or scope.get("method") not in SAFE
        if must and not origin and not _header(scope, b"authorization"):
            return "a request that changes something must say whose page it is from"
        site = _header(scope, b"sec-fetch-site")
        moves = _header(scope, b"sec-fetch-mode") == "navigate"
        if site == "cross-site" and not (moves and scope.get("method") == "GET"):
            return "another site's page may not load this"
        return None

    # --- who it is ----------------------------------------------------------------------------

    def _cookie(self, scope: Scope) -> str | None:
        """The fingerprint in the cookie, if we have signed it."""
        jar: cookies.SimpleCookie = cookies.SimpleCookie()
        try:
            jar.load(_header(scope, b"cookie"))
            value = jar[_cookie_name(scope)].value
            return str(self._signer.loads(value, max_age=COOKIE_SECONDS))
        except (KeyError, cookies.CookieError, BadSignature):
            return None

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What the form at the doorstep sends."""
        body = b""
        more = scope["method"] == "POST"
        while more and len(body) <= _LONGEST_FORM:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        form = dict(parse_qsl(body[:_LONGEST_FORM].decode("utf-8", "replace")))
        token = form.get("token", "").strip()
        if token and self._viewers.by_fingerprint(fingerprint(token)):
            there = form.get("to", "/")
            # Only a path of ours: `//host` and `/\host` would lead elsewhere.
            ours = there.startswith("/") and there[1:2] not in ("/", "\\")
            await self._let_in(scope, send, token, there if ours else "/")
        else:
            await self._ask_for_token(scope, send, wrong=bool(token))

    async def _let_in(self, scope: Scope, send: Send, token: str, there: str) -> None:
        """Exchange the token for a cookie, so that it stands in no address and no history."""
        jar = cookies.SimpleCookie()
        name = _cookie_name(scope)
        jar[name] = self._signer.dumps(fingerprint(token))
        # Lax: a link in a chat opens with the login. What a foreign page sends is refused above.
        jar[name]["path"], jar[name]["samesite"] = "/", "Lax"
        jar[name]["max-age"] = COOKIE_SECONDS
        jar[name]["httponly"], jar[name]["secure"] = True, scope["scheme"] == "https"
        place = (b"location", quote(there, safe="/?&=%~.-_+:,*@!").encode())
        cookie = (b"set-cookie", jar[name].OutputString().encode())
        await _answer(send, 303, b"", [place, cookie, (b"cache-control", b"no-store")])

    async def _ask_for_token(self, scope: Scope, send: Send, *, wrong: bool) -> None:
        wants_page = "text/html" in _header(scope, b"accept")
        if scope["type"] == "websocket" or not wants_page:
            why = "this token is not known" if wrong else "a token is missing: evq ui prints a link"
            await _refuse(scope, send, 401, why)
            return
        page = doorstep(_address_without_token(scope), wrong=wrong)
        await _answer(send, 401, page, [(b"content-type", b"text/html; charset=utf-8")])


def _token(scope: Scope) -> tuple[str | None, bool]:
    """The token that the request itself brings, and whether as a bearer's."""
    kind, _, bearer = _header(scope, b"authorization").partition(" ")
    if kind.lower() == "bearer":
        return bearer.strip(), True
    query = parse_qs(scope["query_string"].decode("latin-1"))
    return query.get("token", [None])[0], False


def _cookie_name(scope: Scope) -> str:
    # Cookies know no ports, and one machine may have several dashboards.
    _, port = scope.get("server") or ("", 0)
    return f"evq-{port}"


def _header(scope: Scope, name: bytes) -> str:
    """A header's value; nothing if it is not there, or there twice."""
    values: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _address_without_token(scope: Scope) -> str:
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    rest = urlencode([(key, value) for key, value in pairs if key != "token"])
    path = "/" + str(scope["path"]).lstrip("/\\")
    return path + (f"?{rest}" if rest else "")


async def _refuse(scope: Scope, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4000 + status, "reason": why[:100]})
        return
    text = f"evq: {why}\n".encode()
    await _answer(send, status, text, [(b"content-type", b"text/plain; charset=utf-8")])


async def _answer(send: Send, status: int, body: bytes, headers: policy.Headers) -> None:
    length = (b"content-length", str(len(body)).encode())
    start = [*headers, *policy.headers(), length]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


def _with_policy(scope: Scope, send: Send) -> Send:
    """A `send` that adds our headers, and gives the scripts of a page their nonce."""
    if scope["type"] != "http":
        return send
    start: MutableMapping[str, Any] | None = None
    page = b""

    async def sending(message: MutableMapping[str, Any]) -> None:
        nonlocal start, page
        if message["type"] == "http.response.start":
            own = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            if _is_page(message["headers"]):
                start = {**message, "headers": own}
                return
            message = {**message, "headers": [*message["headers"], *policy.headers()]}
        elif start is not None and message["type"] == "http.response.body":
            page += message.get("body", b"")
            if message.get("more_body"):
                return
            body, scripts = policy.with_nonce(page)
            length = (b"content-length", str(len(body)).encode())
            start["headers"] += [*policy.headers(scripts), length]
            await send(start)
            start = None
            message = {**message, "body": body}
        await send(message)

    return sending


def _is_page(headers: policy.Headers) -> bool:
    return any(key.lower() == b"content-type" and b"text/html" in value for key, value in headers)
