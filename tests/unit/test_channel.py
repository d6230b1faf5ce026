"""The socket on which tasks speak, with real sockets in one event loop."""

import asyncio
import json
import socket

import pytest

from evq.agent.reporting.channel import MAX_LINE, Channel


class Ears:
    """Who hears what is said on a channel."""

    def __init__(self, channel):
        self.words, self.complaints = [], []
        self.news = asyncio.Event()
        channel.attach(self._heard, self._garbled)

    def _heard(self, words):
        self.words.append(words)
        self.news.set()

    def _garbled(self, why):
        self.complaints.append(why)
        self.news.set()

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()

    @property
    def steps(self):
        return [words.step for words in self.words]


@pytest.fixture
async def channel(tmp_path):
    channel = Channel(tmp_path / "socket", tmp_path / "scratch")
    yield channel
    channel.close()
    assert not channel.path.exists()


def speaker(channel):
    found = socket.socket(socket.AF_UNIX)
    found.connect(str(channel.path))
    return found


def line(step, **more):
    return json.dumps({"metrics": {"loss": 1.5}, "step": step, **more}).encode() + b"\n"


async def test_words_in_pieces_and_by_several(channel):
    ears = Ears(channel)
    with speaker(channel) as one, speaker(channel) as two:
        text = line(1, at=7) + line(2)
        one.send(text[:20])
        two.send(line(3) + b"\n\n")
        await ears.until(lambda: ears.steps == [3])
        one.send(text[20:])
        await ears.until(lambda: len(ears.words) == 3)
    assert ears.steps == [3, 1, 2] and ears.words[1].at == 7
    assert ears.words[1].metrics == {"loss": 1.5} and ears.complaints == []


async def test_what_is_left_in_the_socket_is_read_at_the_end(channel):
    ears = Ears(channel)
    many = 2000
    for _ in range(3):
        with speaker(channel) as one:
            one.setblocking(False)
            one.send(b"".join(line(step) for step in range(many)))
    # No turn of the event loop in between: nobody has been accepted yet.
    channel.detach()
    assert ears.steps == [*range(many)] * 3


async def test_who_stays_after_the_end_is_not_heard(channel):
    ears = Ears(channel)
    with speaker(channel) as late:
        late.send(line(1))
        channel.detach()
        with pytest.raises(OSError):
            for _ in range(100):
                late.send(line(2))
        others = Ears(channel)
        assert ears.steps == [1] and others.words == []


async def test_nobody_listens(channel):
    with speaker(channel) as one:
        one.send(line(1) + b"nonsense\n")
        channel.detach()
    ears = Ears(channel)
    with speaker(channel) as two:
        two.send(line(2))
        await ears.until(lambda: ears.words)
    assert ears.steps == [2] and ears.complaints == []


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense",
        b"[]",
        b'{"metrics": {"loss": "low"}}',
        b'{"metrics": {"loss": null}}',
        b'{"step": 1.5}',
        b'{"progress": {"total": 5}}',
        b"\xff\xfe",
        b'{"metrics": {"a": NaN}}',
    ],
)
async def test_what_is_not_understood_spoils_nothing(channel, said):
    ears = Ears(channel)
    with speaker(channel) as one:
        one.send(line(1) + said + b"\n" + line(2))
        await ears.until(lambda: len(ears.words) == 2)
    assert len(ears.complaints) == 1 and ears.steps == [1, 2]


async def test_an_endless_line_ends_the_talk(channel):
    ears = Ears(channel)
    with speaker(channel) as one:
        one.setblocking(False)
        one.send(line(1) + b"x" * (MAX_LINE + 1))
        await ears.until(lambda: ears.complaints)
        with pytest.raises(OSError):
            one.send(line(2))
    assert ears.steps == [1] and "64 KiB" in ears.complaints[0]


async def test_the_words_for_what_json_lacks(channel):
    ears = Ears(channel)
    with speaker(channel) as one:
        one.send(b'{"metrics": {"a": "nan", "b": "-inf", "c": 3}, "unknown": {"x": 1}}\n')
        await ears.until(lambda: ears.words)
    assert ears.words[0].metrics == {"a": "nan", "b": "-inf", "c": 3.0}


async def test_only_we_may_speak(channel):
    assert channel.path.stat().st_mode & 0o777 == 0o600
