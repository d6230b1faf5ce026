"""Names that may stand in a subject, and task ids."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.core import ids
from evq.core.errors import UsageError


@pytest.mark.parametrize("name", ["a", "default", "GPU-8_x", "0", "x" * 64])
def test_names(name: str) -> None:
    assert ids.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "a.b", "a b", "*", ">", "a\n", "ä", "x" * 65, "$KV", "a/b", "٣"]
)
def test_what_cannot_stand_in_a_subject_is_no_name(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        ids.check_name(name, "queue")
    assert "queue" in caught.value.what


@given(st.text(max_size=100))
def test_a_name_that_passes_is_one_token_and_a_suggestion_passes(name: str) -> None:
    try:
        ids.check_name(name)
    except UsageError as error:
        suggestion = error.fix.rpartition(" ")[2]
        assert ids.check_name(suggestion) == suggestion
    else:
        assert re.fullmatch(r"[^\s.*>]+", name)


@given(st.binary(min_size=8, max_size=16))
def test_a_task_id_is_one(entropy: bytes) -> None:
    task = ids.task_id(entropy)
    assert ids.is_task_id(task) and ids.check_name(task) == task
    assert all(ids.is_task_prefix(task[:length]) for length in range(1, 13))


@given(st.integers(0, 2**60 - 1), st.integers(0, 2**60 - 1))
def test_different_numbers_have_different_ids_in_the_same_order(one: int, other: int) -> None:
    texts = [ids.task_id((number << 4).to_bytes(8, "big")) for number in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)
    assert (texts[0] == texts[1]) == (one == other)


@pytest.mark.parametrize("text", ["", "0123456789ab0", "01234567890i", "0123456789AB", "abc "])
def test_what_is_no_id(text: str) -> None:
    assert not ids.is_task_id(text)


def test_a_key_has_one_id_for_ever() -> None:
    assert ids.task_id_for_key("nightly-2031-05-17") == "ap552z5ah59r"
    assert ids.task_id_for_key("a") != ids.task_id_for_key("b")
