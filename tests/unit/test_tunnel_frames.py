"""The frames of a tunnel, and how much of a connection may be on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core.tunnels.frames import (
    CHUNK,
    Close,
    Credit,
    Data,
    End,
    Finish,
    Frame,
    Garbled,
    Open,
    Ping,
    Welcome,
    decode,
    encode,
)
from evq.core.tunnels.hello import Hello
from evq.core.tunnels.window import WINDOW, Overrun, Receiving, Sending

NUMBERS = st.integers(0, 2**32 - 1)
FRAMES: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Open, NUMBERS),
    st.builds(Data, NUMBERS, st.binary(max_size=2000)),
    st.builds(Finish, NUMBERS),
    st.builds(Credit, NUMBERS, NUMBERS),
    st.builds(Close, NUMBERS, st.text()),
    st.just(Ping()),
    st.builds(Welcome, st.text(), st.integers(0, 1000), st.text()),
    st.builds(End, st.text(), st.text(), st.text(), st.booleans()),
)


@given(NUMBERS, FRAMES)
def test_a_frame_is_read_as_it_was_written(number: int, frame: Frame) -> None:
    assert decode(encode(number, frame)) == (number, frame)


@given(st.binary(max_size=50))
def test_other_bytes_are_garbled_or_a_frame(data: bytes) -> None:
    try:
        number, frame = decode(data)
    except Garbled:
        return
    assert decode(encode(number, frame)) == (number, frame)


def test_a_frame_of_a_later_version_is_garbled() -> None:
    with pytest.raises(Garbled, match="does not know"):
        decode(bytes([99]) + bytes(8))


def test_a_full_frame_is_well_below_what_nats_takes() -> None:
    assert len(encode(2**32 - 1, Data(2**32 - 1, bytes(CHUNK)))) < 2**20 / 4


@given(st.lists(st.tuples(st.booleans(), st.integers(1, WINDOW)), max_size=60))
def test_what_lies_at_the_other_end_is_never_more_than_a_window(
    steps: list[tuple[bool, int]],
) -> None:
    sending, receiving = Sending(), Receiving()
    waiting = on_the_way = 0
    for sends, most in steps:
        if sends and (count := min(most, sending.room)):
            sending.sent(count)
            receiving.came(count)
            waiting += count
        elif not sends and (count := min(most, waiting)):
            waiting -= count
            on_the_way = receiving.passed_on(count)
            sending.granted(on_the_way)
        assert waiting <= WINDOW
    if waiting:
        sending.granted(receiving.passed_on(waiting))
    # Whatever was read, the sender is never left without room.
    assert sending.room > WINDOW // 2


@pytest.mark.parametrize(
    ("reply", "by", "fit"),
    [
        ("_INBOX.abc.1", "ada@laptop", True),
        ("mine.x", "ada@laptop", True),
        ("$JS.API.STREAM.DELETE.EVQ", "ada@laptop", False),
        ("evq.t.default.k3f9", "ada@laptop", False),
        ("evqcmd.gpu-01", "ada@laptop", False),
        ("_INBOX.*", "ada@laptop", False),
        ("_INBOX.>", "ada@laptop", False),
        ("_INBOX.a b", "ada@laptop", False),
        ("_INBOX", "ada@laptop", False),
        ("_INBOX..x", "ada@laptop", False),
        ("_INBOX.x", "ada\nroot", False),
        ("_INBOX.x", "a" * 201, False),
    ],
)
def test_an_agent_answers_at_inboxes_alone(reply: str, by: str, fit: bool) -> None:
    assert Hello(task="k3f9", port=1, reply=reply, by=by).fit is fit


def test_who_sends_more_than_it_may_is_found_out() -> None:
    receiving = Receiving()
    receiving.came(WINDOW)
    with pytest.raises(Overrun):
        receiving.came(1)
