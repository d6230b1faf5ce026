"""Alerts: a few messages one by one, a flood as one, and no address in any of it."""

from __future__ import annotations

from typing import Any

import pytest

from evq.core.errors import UsageError
from evq.core.journal import Noted
from evq.services.alert.decide import decide, message_of, seconds_left
from evq.services.alert.facts import (
    Defined,
    Removed,
    Sending,
    Sent,
    State,
    Told,
    Undelivered,
    evolve,
)
from evq.services.alert.sending import check_address, without

SECOND = 1_000_000


class Alert:
    """An alert that tells, at a moment, what it sends."""

    def __init__(self, most: int = 2, seconds: float = 60.0) -> None:
        self.state = State()
        self.write(Defined(secret="TEAM", most=most, seconds=seconds), 0)

    def write(self, fact: Any, at: int) -> None:
        self.state = evolve(self.state, Noted(1, at, "tester", "words", fact))

    def tell(self, *keys: str) -> None:
        for key in keys:
            self.write(Told(key=key, title=key), 0)

    def send(self, second: float) -> list[tuple[str, ...]]:
        """The keys of each message that goes out at that second."""
        found, at = [], round(second * SECOND)
        while decided := decide(self.state, at):
            sending, _ = decided
            found.append(sending.keys)
            self.write(sending, at)
            self.write(Sent(sending.keys), at)
        return found


def test_few_messages_go_out_one_by_one() -> None:
    alert = Alert()
    alert.tell("a", "b")
    assert alert.send(0) == [("a",), ("b",)] and alert.state.sent == 2


def test_a_flood_becomes_one() -> None:
    alert = Alert()
    alert.tell("a")
    assert alert.send(0) == [("a",)]
    alert.tell("b")
    assert alert.send(10) == [("b",)]
    alert.tell("c", "d", "e")
    assert alert.send(20) == [] and seconds_left(alert.state, 20 * SECOND) == 40.0
    alert.tell("f")
    assert alert.send(60) == [("c", "d", "e", "f")]
    assert seconds_left(alert.state, 60 * SECOND) is None
    assert alert.state.sent == 6


def test_many_at_once_are_one_at_once() -> None:
    alert = Alert()
    alert.tell(*"abcdef")
    assert alert.send(0) == [tuple("abcdef")]


def test_nothing_else_goes_out_while_something_is_on_its_way() -> None:
    alert = Alert()
    alert.tell("a", "b")
    alert.write(Sending(("a",)), 0)
    assert alert.send(0) == [] and [one.key for one in alert.state.sending] == ["a"]
    alert.write(Undelivered(("a",), "no such host"), 0)
    assert alert.state.undelivered == 1 and alert.send(1) == [("b",)]


def test_a_removed_one_sends_nothing() -> None:
    alert = Alert()
    alert.tell("a")
    alert.write(Removed("enough"), 0)
    assert alert.send(0) == [] and alert.state.definition is None


def test_what_a_message_says() -> None:
    told = Told(key="k", title="task k3f9 failed", body="boom", task="k3f9")
    one = message_of([told], "http://host:8080/")
    assert one.title == "task k3f9 failed"
    assert one.body == "boom\nhttp://host:8080/tasks/k3f9"
    assert message_of([told], "").body == "boom"
    many = message_of([told] * 23, "")
    assert many.title == "evq: 23 messages" and many.body.endswith("and 3 more")
    assert many.body.count("task k3f9 failed") == 20


def test_no_part_of_an_address_is_shown() -> None:
    address = "slack://TokenA1234/TokenB5678/abcdefghijkl/#team"
    said = without(
        address, "cannot reach TokenB5678 via slack://TokenA1234/TokenB5678/abcdefghijkl"
    )
    assert "TokenA" not in said and "TokenB" not in said and "abcdefghijkl" not in said
    check_address("json://localhost/hook")
    with pytest.raises(UsageError, match="no address") as caught:
        check_address("nonsense-with-a-secret")
    assert "nonsense" not in str(caught.value)
