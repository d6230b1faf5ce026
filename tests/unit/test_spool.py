"""Records on disk: in order, bounded, whole after a crash."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evq.agent.reporting.spool import Record, Spool

LIMIT = 10_000


def record(number: int, data: str = "{}") -> Record:
    return Record("evqtel.q.t.a", f"{number}", data)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "spool"


def test_first_in_first_out(path):
    spool = Spool(path, LIMIT)
    assert spool.empty and spool.take(5) == []
    wanted = [record(number, "zwölf\n\0") for number in range(7)]
    assert all(spool.add(one) for one in wanted)
    assert spool.take(3) == wanted[:3] and not spool.empty
    assert spool.add(record(7))
    assert spool.take(100) == [*wanted[3:], record(7)] and spool.empty
    spool.close()


def test_what_was_not_cleared_is_there_again(path):
    spool = Spool(path, LIMIT)
    spool.add(record(1))
    spool.add(record(2))
    spool.take(1)
    spool.close()
    again = Spool(path, LIMIT)
    # Read is not arrived: only `clear` forgets, and ids make the repetition harmless.
    assert again.take(9) == [record(1), record(2)]
    again.clear()
    again.close()
    assert not path.exists()


def test_a_full_spool_refuses_and_goes_on_when_it_is_cleared(path):
    spool = Spool(path, 200)
    kept = 0
    while spool.add(record(kept)):
        kept += 1
    assert kept > 1 and path.stat().st_size <= 200
    assert len(spool.take(100)) == kept
    spool.clear()
    assert spool.empty and spool.add(record(0)) and spool.take(9) == [record(0)]
    spool.close()


def test_what_the_disk_has_no_room_for_is_refused_whole(path):
    spool = Spool(path, LIMIT)
    assert spool.add(record(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        assert not spool.add(record(2)) and not spool.add(record(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.add(record(4))
    assert spool.take(9) == [record(1), record(4)] and spool.empty
    spool.close()


def test_records_put_before_those_that_wait(path):
    spool = Spool(path, LIMIT)
    for number in range(4):
        spool.add(record(number))
    assert spool.take(2) == [record(0), record(1)]
    assert spool.put_before([record(8), record(9)])
    assert spool.add(record(4))
    assert spool.take(9) == [record(n) for n in (8, 9, 2, 3, 4)] and spool.empty
    assert not spool.put_before([record(5, "x" * LIMIT)])
    spool.close()


@given(st.data())
def test_a_torn_file_loses_only_what_is_torn(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("spool") / "spool"
    spool = Spool(path, LIMIT)
    wanted = [record(number, "x" * number) for number in range(5)]
    for one in wanted:
        spool.add(one)
    spool.close()
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    # A record that lacks nothing but the line's end is whole.
    whole = content[: cut + 1].count(b"\n")
    again = Spool(path, LIMIT)
    assert again.take(100) == wanted[:whole]
    # What is written behind the torn line is not torn with it.
    assert again.add(record(9))
    assert again.take(100) == [record(9)]
    assert again.empty
    again.close()


@given(st.data())
def test_a_damaged_line_is_passed_over(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("spool") / "spool"
    spool = Spool(path, LIMIT)
    wanted = [record(number) for number in range(3)]
    for one in wanted:
        spool.add(one)
    spool.close()
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    again = Spool(path, LIMIT)
    found = again.take(100)
    again.close()
    assert [one for one in found if one not in wanted] == [] and len(found) >= 1
