"""Bytes become lines: whole, in order, within limits, however they are cut into reads."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from evq.agent.reporting.output import Line, LineSplitter, LogBudget

SECOND = 1_000_000


def split(*chunks, **limits):
    """The texts of all lines, every chunk being read at the same time."""
    splitter = LineSplitter("out", **limits)
    lines = [line for chunk in chunks for line in splitter.feed(chunk, 0)]
    return [line.text for line in lines + splitter.close(0)]


def test_lines_carry_their_stream_and_time():
    splitter = LineSplitter("err")
    assert splitter.feed(b"one\ntw", 5) == [Line(5, "err", "one")]
    assert splitter.feed(b"o\n", 6) == [Line(6, "err", "two")]
    assert splitter.close(7) == []


def test_the_last_line_needs_no_end():
    assert split(b"a\n\nb") == ["a", "", "b"]


def test_a_character_cut_by_a_read_stays_whole():
    euro = "€".encode()
    assert split(euro[:1], euro[1:2], euro[2:] + b"\n") == ["€"]


def test_what_is_no_text_is_replaced():
    assert split(b"a\xffb\0c\n") == ["a\ufffdb\ufffdc"]


def test_the_other_line_end():
    assert split(b"a\r\n\r\nb\r", b"\nc") == ["a", "", "b", "c"]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"))),
    st.lists(st.integers(0, 300)),
)
def test_reads_may_be_cut_anywhere(lines, cuts):
    data = "".join(f"{line}\n" for line in lines).encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    assert split(*chunks) == lines


@given(st.lists(st.binary(max_size=60)), st.integers(4, 20))
def test_any_bytes_in_any_cuts_stay_within_the_limits(chunks, max_line):
    splitter = LineSplitter("out", max_line=max_line, keep_line=3 * max_line)
    for at, chunk in enumerate(chunks):
        for line in splitter.feed(chunk, at):
            assert not set("\n\r\0") & set(line.text)
            assert len(line.text) <= max_line or line.text.startswith("…")
        # What waits in memory: a line, and a carriage return that may be part of its end.
        assert len(splitter._pending) <= max_line + 1
    splitter.close(0)


# --- progress bars ----------------------------------------------------------------------------


def test_a_progress_bar_comes_out_now_and_then_and_at_its_end():
    splitter = LineSplitter("err", progress_every=2.0)
    lines = []
    for tenth in range(101):
        lines += splitter.feed(b"\r%3d%%" % tenth, tenth * SECOND // 10)
    lines += splitter.feed(b"\n", 11 * SECOND)
    assert [line.text for line in lines] == ["  0%", " 20%", " 40%", " 60%", " 80%", "100%"]


def test_a_progress_bar_that_writes_the_return_last():
    assert split(b"10%\r", b"50%\r", b"100%\r") == ["10%", "100%"]
    assert split(b"10%\r", b"50%\r", b"100%\r", b"\n", b"done\n") == ["10%", "100%", "done"]


def test_a_bar_that_wipes_itself_leaves_no_blank_line():
    assert split(b"\r 50%\r     \r\n", b"done\n") == [" 50%", "done"]


def test_a_million_returns_are_not_kept():
    splitter = LineSplitter("out")
    for _ in range(100):
        assert splitter.feed(b"\r" * 10_000, 0) == []
    assert splitter.feed(b"x" + b"\r" * 10_000, 0) == []
    assert [line.text for line in splitter.close(0)] == ["x"]


# --- lines without an end -----------------------------------------------------------------------


def test_a_prompt_is_shown_when_it_has_waited():
    splitter = LineSplitter("out", partial_after=1.0)
    assert splitter.feed(b"name? ", 0) == []
    assert splitter.pending_since == 0
    assert splitter.flush_partial(SECOND // 2) == []
    assert splitter.flush_partial(SECOND) == [Line(SECOND, "out", "name? ")]
    assert splitter.pending_since is None
    assert splitter.feed(b"\nAda\n", 2 * SECOND) == [Line(2 * SECOND, "out", "Ada")]


def test_a_slow_progress_bar_is_shown_as_seldom_as_a_quick_one():
    splitter = LineSplitter("out", partial_after=1.0, progress_every=5.0)
    splitter.feed(b"\r1%", 0)
    assert [line.text for line in splitter.flush_partial(SECOND)] == ["1%"]
    splitter.feed(b"\r2%", 2 * SECOND)
    assert splitter.flush_partial(3 * SECOND) == []
    assert [line.text for line in splitter.flush_partial(6 * SECOND)] == ["2%"]


# --- long lines ---------------------------------------------------------------------------------


def test_a_long_line_comes_in_pieces_that_cut_no_character():
    pieces = split("aé€😀".encode() * 10 + b"\n", max_line=8)
    assert "".join(pieces) == "aé€😀" * 10
    assert all(len(piece.encode()) <= 8 for piece in pieces)


def test_of_an_endless_line_the_begin_is_kept():
    pieces = split(*[b"x" * 10] * 10, b"\nnext\n", max_line=8, keep_line=16)
    assert pieces == ["x" * 8, "x" * 8, "… 84 bytes of this line left out", "next"]


# --- the budget ---------------------------------------------------------------------------------


def lines(*numbers):
    return [Line(number, "out", f"line {number}") for number in numbers]


def test_within_the_budget_all_comes_through():
    budget = LogBudget(limit=100)
    assert budget.admit(lines(1, 2, 3)) == lines(1, 2, 3)
    assert budget.close(9) == []


def test_over_the_budget_the_begin_and_the_end_come_through():
    budget = LogBudget(limit=14, tail=14)
    assert budget.admit(lines(1)) == lines(1)
    assert budget.admit(lines(2, 3, 4, 5, 6)) == lines(2)
    note, *rest = budget.close(9)
    assert rest == lines(5, 6)
    assert note.stream == "agent" and note.at_us == 5
    assert note.text == "… 2 lines (14 bytes) left out: the log's limit is 14 bytes"


def test_what_fits_into_the_tail_is_not_called_left_out():
    budget = LogBudget(limit=7, tail=70)
    assert budget.admit(lines(1, 2, 3)) == lines(1)
    assert budget.close(9) == lines(2, 3)


def test_the_budget_counts_bytes_not_characters():
    budget = LogBudget(limit=4, tail=0)
    assert budget.admit([Line(1, "out", "€€€")]) == []
    assert budget.left_out_bytes == 10
