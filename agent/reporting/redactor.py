"""Keeps secrets out of what a task says, wherever the reads of its output happen to be cut.

It works on bytes, before they are made into lines: what may be the begin of a secret is held
back until it is known to be none, so that no line, no prompt and no progress bar shows half of
it. Known secrets are found in every form that `secret_forms` gives; logins in addresses and
`Authorization` headers are found by their shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

from ...core.errors import EvqError
from .secret_forms import forms

_LOGIN = re.compile(rb"""[^\s/?#"'<>`\\\x00-\x1f]{1,512}@""")
_LOGIN_END = re.compile(rb"""[\s/?#"'<>`\\\x00-\x1f]""")
_LOGIN_BYTES = 514
_LONE_LOGIN_BYTES = 20
"""A login without a password, such as the `git` of `ssh://git@host`, is secret if it is as long
as a token."""

_WORD = b"authorization"
_HEADER = re.compile(
    rb"""["'\\]{0,3}[ \t]{0,4}[:=][ \t]{0,4}["'\\]{0,3}"""
    rb"""(?:(?:bearer|basic|token)[ \t]{1,4}([^\s"',;\\]{1,4096})|([^\s"',;\\]{16,4096}))""",
    re.IGNORECASE,
)
_HEADER_BYTES = 4200

_CONTEXT = 64
"""Bytes that are remembered after they were given out, so that a shape is known by its begin."""


_E = TypeVar("_E", bound=EvqError)


class Span(NamedTuple):
    """Bytes that must not be seen, and what is written instead."""

    start: int
    end: int
    instead: bytes


class Redactor:
    """Knows the secrets of one attempt, by their names."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = secrets or {}
        self._forms: dict[bytes, bytes] = {
            form: f"[secret {name}]".encode()
            for name, value in self._secrets.items()
            for form in forms(value)
        }
        self._longest = max(map(len, self._forms), default=0)
        self._by_first: dict[int, list[bytes]] = {}
        for form in self._forms:
            self._by_first.setdefault(form[0], []).append(form)

    def knowing(self, secrets: Mapping[str, str]) -> Redactor:
        """One that knows these, too."""
        return Redactor({**self._secrets, **secrets})

    def error(self, error: _E) -> _E:
        """`error` without secrets."""
        what, why, fix = map(self.text, (error.what, error.why, error.fix))
        return type(error)(what, why=why, fix=fix)

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if not self._forms and "://" not in text and "uthorization" not in text.lower():
            return text
        stream = RedactedStream(self)
        data = stream.feed(text.encode("utf-8", "surrogateescape")) + stream.close()
        return data.decode("utf-8", "surrogateescape")

    def spans(self, data: bytes) -> list[Span]:
        """What is secret in `data`, in order and apart from each other."""
        found = [*self._known(data), *_logins(data), *_headers(data)]
        if len(found) < 2:
            return found
        found.sort(key=lambda span: (span.start, -span.end))
        merged = found[:1]
        for span in found[1:]:
            last = merged[-1]
            if span.start >= last.end:
                merged.append(span)
            elif span.end > last.end:
                merged[-1] = last._replace(end=span.end)
        return merged

    def _known(self, data: bytes) -> Iterator[Span]:
        for form, instead in self._forms.items():
            start = data.find(form)
            while start >= 0:
                yield Span(start, start + len(form), instead)
                start = data.find(form, start + 1)

    def unsettled(self, data: bytes) -> int:
        """From where on `data` may be the begin of something secret; its length if nowhere."""
        return min(self._unsettled_form(data), _unsettled_login(data), _unsettled_header(data))

    def _unsettled_form(self, data: bytes) -> int:
        size = len(data)
        for start in range(max(0, size - self._longest + 1), size):
            for form in self._by_first.get(data[start], ()):
                if len(form) > size - start and form.startswith(data[start:]):
                    return start
        return size


def _logins(data: bytes) -> Iterator[Span]:
    """The logins in addresses, such as `user:password` in `https://user:password@host`."""
    start = data.find(b"://") if b"@" in data else -1
    while start >= 0:
        login = _LOGIN.match(data, start + 3)
        if login and (b":" in login[0] or len(login[0]) > _LONE_LOGIN_BYTES):
            yield Span(start + 3, login.end() - 1, b"[secret]")
        start = data.find(b"://", start + 3)


def _unsettled_login(data: bytes) -> int:
    start = data.rfind(b"://") + 3
    if start < 3 or len(data) - start > _LOGIN_BYTES or _LOGIN_END.search(data, start):
        return len(data)
    return start


def _headers(data: bytes) -> Iterator[Span]:
    """What stands in `Authorization` headers."""
    low = data.lower()
    start = low.find(_WORD)
    while start >= 0:
        if header := _HEADER.match(data, start + len(_WORD)):
            begin, end = header.span(1) if header[1] else header.span(2)
            yield Span(begin, end, b"[secret]")
        start = low.find(_WORD, start + 1)


def _unsettled_header(data: bytes) -> int:
    line = max(data.rfind(b"\n"), data.rfind(b"\r"), len(data) - _HEADER_BYTES) + 1
    start = data[line:].lower().find(_WORD)
    return len(data) if start < 0 else line + start + len(_WORD)


class RedactedStream:
    """One output, read piece by piece. How it is cut does not change what comes out."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._kept = b""
        self._said = 0
        """How many of the kept bytes have been given out, or something instead of them."""

    def feed(self, data: bytes) -> bytes:
        """What can be shown of `data` and of all that was held back before it."""
        data = self._kept + data
        return self._give(data, self._redactor.unsettled(data))

    def close(self) -> bytes:
        """The rest, when nothing will follow it."""
        return self._give(self._kept, len(self._kept))

    def _give(self, data: bytes, until: int) -> bytes:
        pieces: list[bytes] = []
        at = self._said
        for span in self._redactor.spans(data):
            if span.start >= until:
                break
            if span.end <= at:
                continue
            if span.start >= at:
                pieces += (data[at : span.start], span.instead)
            at = span.end
        if at < until:
            pieces.append(data[at:until])
            at = until
        forget = max(0, until - _CONTEXT)
        self._kept, self._said = data[forget:], at - forget
        return b"".join(pieces)
