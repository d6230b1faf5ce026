"""Secrets stay out of what is shown, in every form, however the output is cut."""

from __future__ import annotations

import base64
import json
import shlex
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evq.agent.reporting.redactor import RedactedStream, Redactor
from evq.agent.reporting.secret_forms import forms

TOKEN = "hf_Canary+/'\"é& 0123456789"
KEY = "\n".join(
    ["-----BEGIN KEY-----", *(f"line{number}" + "k3Y/+" * 12 for number in range(3)), "end", ""]
)
SECRETS = {"TOKEN": TOKEN, "KEY": KEY, "INNER": "Canary+/'", "TAIL": "0123456789tail"}

ENCODINGS = {
    "plain": lambda text: text,
    "url": lambda text: quote(text, safe=""),
    "json": lambda text: json.dumps(text),
    "json, not ASCII": lambda text: json.dumps(text, ensure_ascii=False),
    "shell": shlex.quote,
    "python": repr,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    **{
        f"base64 {name} after {before}": lambda text, encode=encode, before=before: encode(
            b"xyz"[:before] + text.encode() + b"more"
        ).decode()
        for name, encode in {"std": base64.b64encode, "url": base64.urlsafe_b64encode}.items()
        for before in range(3)
    },
}


def shown(redactor: Redactor, *chunks: bytes) -> bytes:
    stream = RedactedStream(redactor)
    return b"".join([*map(stream.feed, chunks), stream.close()])


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_known_in_each_encoding(encoding: str) -> None:
    said = f"see {ENCODINGS[encoding](TOKEN)} there"
    for chunks in ([said.encode()], [bytes([byte]) for byte in said.encode()]):
        text = shown(Redactor({"TOKEN": TOKEN}), *chunks).decode()
        assert "[secret TOKEN]" in text and text.startswith("see ") and text.endswith(" there")
        for canary in forms(TOKEN):
            assert canary not in text.encode()


PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([TOKEN, KEY, *KEY.split("\n"), "://", "https://a:b@c ", "https:/", "\r\n"]),
    st.sampled_from([TOKEN[:7], TOKEN[4:], "Authorization: ", "bearer ", "aUTHORIZATION", "é"]),
    st.builds(lambda name, of: ENCODINGS[name](of), st.sampled_from(list(ENCODINGS)),
              st.sampled_from(list(SECRETS.values()))),
)  # fmt: skip


@given(st.lists(PIECES, max_size=8), st.lists(st.integers(0, 5000), max_size=12))
@example(["Authorization: authorization: x1234567890123456\n"], [30])
@example([TOKEN, "tail", TOKEN], [10, 20, 30])
def test_cuts_change_nothing_and_no_secret_is_shown(
    pieces: list[str | bytes], cuts: list[int]
) -> None:
    said = b"".join(p if isinstance(p, bytes) else p.encode() for p in pieces)
    redactor = Redactor(SECRETS)
    whole = shown(redactor, said)
    assert shown(redactor, *cut(said, cuts)) == whole
    for value in SECRETS.values():
        assert not any(canary in whole for canary in forms(value))


@given(st.binary(max_size=200), st.lists(st.integers(0, 5000), max_size=6))
def test_what_is_not_secret_comes_through_unchanged(said: bytes, cuts: list[int]) -> None:
    assert shown(Redactor({"TOKEN": TOKEN}), *cut(said, cuts)) == said


def test_a_prompt_shows_no_half_of_a_secret() -> None:
    stream = RedactedStream(Redactor({"TOKEN": TOKEN}))
    assert stream.feed(b"name? " + TOKEN[:9].encode()) == b"name? "
    assert stream.feed(TOKEN[9:].encode() + b"!") == b"[secret TOKEN]!"


def test_without_secrets_nothing_is_held_back_but_a_login() -> None:
    stream = RedactedStream(Redactor())
    assert stream.feed(b"data: Authoriz") == b"data: Authoriz"
    assert stream.feed(b"ation: Bearer ab") == b"ation"
    assert stream.feed(b"cdef, https://us") == b""
    assert stream.feed(b"er:pw@host/\n") == b": Bearer [secret], https://[secret]@host/\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("https://user:pass@host/simple", "https://[secret]@host/simple"),
        ("git+https://x-access-token:abc@github.com/a", "git+https://[secret]@github.com/a"),
        ("https://ghp_0123456789012345678@host", "https://[secret]@host"),
        ("https://a:p@ss@host", "https://[secret]@host"),
        ("ssh://git@host/path", "ssh://git@host/path"),
        ("https://host/@scope/package", "https://host/@scope/package"),
        ("see https://host, or mail a@b", "see https://host, or mail a@b"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [secret]"),
        ("{'authorization': 'Basic dXNlcg=='}", "{'authorization': 'Basic [secret]'}"),
        ('"Authorization": "0123456789abcdef"', '"Authorization": "[secret]"'),
        ("authorization: required", "authorization: required"),
    ],
)
def test_credentials_are_known_by_their_shape(said: str, expected: str) -> None:
    assert Redactor().text(said) == expected


def test_of_a_key_file_each_long_line_is_a_secret() -> None:
    text = Redactor({"KEY": KEY}).text(KEY)
    assert text.split("\n") == ["[secret KEY]"] * 4 + ["end", ""]


def test_an_endless_line_is_not_kept_in_memory() -> None:
    stream = RedactedStream(Redactor({"RUN": "a" * 10, "TOKEN": TOKEN}))
    given_out = b""
    for _ in range(2000):
        given_out += stream.feed(b"a" * 100)
        assert len(stream._kept) < 200
    assert given_out + stream.close() == b"[secret RUN]"
    for start in (b"https://", b"authorization: "):
        stream.feed(start)
        for _ in range(200):
            stream.feed(b"x" * 100)
            assert len(stream._kept) < 5000
