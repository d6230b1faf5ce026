"""The order in which an agent looks at its queues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.agent.taking.order import RoundRobin, Strict, make_order
from evq.core.errors import UsageError
from evq.core.subjects import Level

QUEUES = ("a", "b", "c")


def levels(*names):
    """The levels written as `a5 b9`."""
    return [Level(name[0], int(name[1:])) for name in names]


def text(found):
    return [f"{level.queue}{level.priority}" for level in found]


def test_strict_looks_at_the_first_queue_first_and_never_changes():
    order = Strict(QUEUES)
    mixed = levels("b9", "a1", "c5", "a7", "b2")
    for _ in range(2):
        assert text(order.arrange(mixed)) == ["a7", "a1", "b9", "b2", "c5"]
        order.took("a")
    assert not order.one_at_a_time


def test_the_order_is_that_of_the_options_and_not_of_the_alphabet():
    assert text(Strict(("b", "a")).arrange(levels("a9", "b1"))) == ["b1", "a9"]


def test_round_robin_begins_behind_the_queue_that_was_served():
    order = RoundRobin(QUEUES)
    mixed = levels("a5", "b5", "c5", "b9")
    assert order.one_at_a_time
    assert text(order.arrange(mixed)) == ["a5", "b9", "b5", "c5"]
    order.took("a")
    assert text(order.arrange(mixed)) == ["b9", "b5", "c5", "a5"]
    order.took("c")
    assert text(order.arrange(mixed)) == ["a5", "b9", "b5", "c5"]


@given(st.lists(st.sets(st.sampled_from(QUEUES), min_size=1), max_size=60))
def test_round_robin_starves_nobody(rounds):
    """A queue that always has work waits for less than one turn of each other queue."""
    order = RoundRobin(QUEUES)
    waited = dict.fromkeys(QUEUES, 0)
    for ready in rounds:
        found = order.arrange([Level(queue, 5) for queue in sorted(ready)])
        taken = found[0].queue
        order.took(taken)
        for queue in QUEUES:
            waited[queue] = waited[queue] + 1 if queue in ready and queue != taken else 0
        assert max(waited.values()) < len(QUEUES)


@given(st.lists(st.builds(Level, st.sampled_from(QUEUES), st.integers(0, 9))))
def test_nothing_is_added_or_lost(found):
    for order in (Strict(QUEUES), RoundRobin(QUEUES)):
        assert sorted(order.arrange(found)) == sorted(found)


def test_one_queue_needs_no_turns():
    # Then several tasks may be taken at once.
    assert isinstance(make_order("round-robin", ("a",)), Strict)
    assert isinstance(make_order("round-robin", QUEUES), RoundRobin)
    assert isinstance(make_order("strict", QUEUES), Strict)


def test_an_order_that_does_not_exist():
    with pytest.raises(UsageError, match="there is no order 'random'"):
        make_order("random", QUEUES)
