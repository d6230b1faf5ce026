"""What the header of a page says about how fresh it is."""

from __future__ import annotations

import pytest

from evq.projector.web.freshness import freshness


@pytest.mark.parametrize(
    ("connected", "seq", "projected", "said"),
    [
        (True, 7, 7, "live"),
        (True, 7, 9, "live"),
        (True, 50, 7, "live"),
        (True, 5000, 7, "4,993 events behind"),
        (True, 7, None, "no projector answers"),
        (False, 7, 7, "the server is away"),
        (False, 7, None, "the server is away"),
    ],
)
def test_it_is_said_in_words(connected: bool, seq: int, projected: int | None, said: str) -> None:
    text, colour = freshness(connected, seq, projected)
    assert said in text
    assert (colour == "green-4") == (text == "live")
