"""The forms in which a secret may turn up in an output: as it is, and in common encodings."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

MIN_LENGTH = 6
"""A secret of fewer characters cannot be told from ordinary words."""

MIN_LINE = 8
"""Of a secret of several lines, such as a key file, each line of this length is one of its own."""

_LEAD = (0, 2, 3)
"""How many base64 characters are shared with the 0, 1 or 2 bytes that stand before a secret."""


def forms(value: str) -> frozenset[bytes]:
    """Everything that must not be seen of a secret, as bytes of an output."""
    found = {form for part in _parts(value) for form in (*_texts(part), *_numbers(part))}
    return frozenset(form for form in found if len(form) >= MIN_LENGTH)


def _parts(value: str) -> list[str]:
    whole = value.strip("\r\n")
    lines = [line.strip() for line in whole.splitlines()]
    return [line for line in lines if len(line) >= MIN_LINE] if len(lines) > 1 else [whole]


def _texts(part: str) -> Iterator[bytes]:
    """The secret as it is, and quoted for URLs, JSON, shells, Python and HTML."""
    for percent in (quote(part, safe=""), quote(part), quote_plus(part)):
        yield percent.encode()
        yield re.sub(r"%..", lambda found: found[0].lower(), percent).encode()
    for text in (
        part,
        json.dumps(part)[1:-1],
        json.dumps(part)[1:-1].replace("/", r"\/"),
        json.dumps(part, ensure_ascii=False)[1:-1],
        shlex.quote(part).strip("'"),
        part.replace("'", r"'\''"),
        re.sub(r"([^\w@%+=:,./-])", r"\\\1", part),
        repr(part)[1:-1],
        html.escape(part),
    ):
        yield text.encode("utf-8", "surrogateescape")


def _numbers(part: str) -> Iterator[bytes]:
    """The secret in hexadecimal, and in base64 wherever it stands in what was encoded."""
    data = part.encode("utf-8", "surrogateescape")
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data)
        yield encode(data).rstrip(b"=")
        for before, lead in enumerate(_LEAD):
            # The last character is shared with what follows, unless the bits come out even.
            end = (before + len(data)) * 8 // 6
            yield encode(b"\0" * before + data)[lead:end]
