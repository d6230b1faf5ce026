"""The order in which an agent looks at its queues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.agent.taking.order import RoundRobin, Strict, Weighted, make_order
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
    for order in (Strict(QUEUES), RoundRobin(QUEUES), Weighted(dict.fromkeys(QUEUES, 2))):
        assert sorted(order.arrange(found)) == sorted(found)


def test_one_queue_needs_no_turns():
    # Then several tasks may be taken at once.
    assert isinstance(make_order("round-robin", ("a",)), Strict)
    assert isinstance(make_order("round-robin", QUEUES), RoundRobin)
    assert isinstance(make_order("strict", QUEUES), Strict)


def test_an_order_that_does_not_exist():
    with pytest.raises(UsageError, match="there is no order 'random'"):
        make_order("random", QUEUES)


# --- weighted -----------------------------------------------------------------------------------


def served(order, ready, count):
    """The queues that are served in turn while those in `ready` have work."""
    found = []
    for _ in range(count):
        queue = order.arrange([Level(queue, 5) for queue in ready])[0].queue
        order.took(queue)
        found.append(queue)
    return "".join(found)


def test_weights_are_shares_and_turns_are_spread():
    order = make_order("weighted:a=3,b=1,c=2", QUEUES)
    assert served(order, "abc", 12) == "acabca" * 2


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1),
    st.integers(1, 60),
)
def test_no_full_queue_is_ever_two_tasks_away_from_its_share(weights, count):
    order, total = Weighted(weights), sum(weights.values())
    turns = served(order, list(weights), count)
    for taken in range(count + 1):
        for queue, weight in weights.items():
            assert abs(turns[:taken].count(queue) - taken * weight / total) < 2


@given(
    st.lists(st.sets(st.sampled_from(QUEUES), min_size=1), min_size=1, max_size=40),
    st.fixed_dictionaries({queue: st.integers(1, 5) for queue in QUEUES}),
)
def test_a_queue_that_was_empty_has_no_more_coming_to_it_than_its_weight(rounds, weights):
    order = Weighted(weights)
    for ready in rounds:
        served(order, sorted(ready), 1)
    turns = served(order, list(QUEUES), sum(weights.values()))
    for queue, weight in weights.items():
        assert turns.count(queue) <= weight + 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("weighted:a=3,b=1", "queue c has no weight"),
        ("weighted:a=3,b=1,c=1,d=1", "does not serve queue d"),
        ("weighted:a=3,b=0,c=1", "'b=0' is not a queue's weight"),
        ("weighted:a=3,b=x,c=1", "'b=x' is not a queue's weight"),
        ("weighted:a=3,a=2,b=1,c=1", "queue a has two weights"),
        ("weighted:", "'' is not a queue's weight"),
    ],
)
def test_weights_that_make_no_sense(text, what):
    with pytest.raises(UsageError, match=what) as error:
        make_order(text, QUEUES)
    assert error.value.fix == "--order weighted:a=3,b=2,c=1"


def test_who_always_goes_before_whom():
    low, high, other = Level("a", 1), Level("a", 9), Level("b", 5)
    for name in ("strict", "round-robin", "weighted:a=1,b=2,c=3"):
        order = make_order(name, QUEUES)
        assert order.before(high, low)
        assert not order.before(low, high)
        assert not order.before(low, low)
        assert order.before(low, other) is (name == "strict")
