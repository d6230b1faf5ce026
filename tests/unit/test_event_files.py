"""Event files of TensorBoard, as bytes and as folders."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from evq.agent.trackers.tensorboard import finding
from evq.agent.trackers.tensorboard.finding import Finder, file_time
from evq.agent.trackers.tensorboard.naming import Prefixes
from evq.agent.trackers.tensorboard.records import LARGEST, Damaged, EventFile
from evq.agent.trackers.tensorboard.scalars import Scalars

# --- records --------------------------------------------------------------------------------------


def framed(*records: bytes) -> bytes:
    """Records as a writer writes them, with the checksums of TensorBoard's own code."""
    written = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        written += length + struct.pack("<I", masked_crc32c(length))
        written += record + struct.pack("<I", masked_crc32c(record))
    return written


def all_of(file: EventFile) -> list[bytes]:
    found = []
    while records := file.read():
        found += records
    return found


@pytest.fixture
def file(tmp_path: Path) -> EventFile:
    path = tmp_path / "events.out.tfevents.1.box"
    path.touch()
    return EventFile(path, tmp_path)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.data())
def test_a_file_may_grow_by_any_piece(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], data: Any
) -> None:
    path = tmp_path_factory.mktemp("grow") / "file"
    whole = framed(*records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    file, heard = EventFile(path, path.parent), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        with path.open("ab") as grown:
            grown.write(whole[start:end])
        heard += all_of(file)
    assert heard == records


@given(st.data())
def test_one_wrong_bit_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("bit") / "file"
    good, bad = framed(b"first"), bytearray(framed(b"second record"))
    bit = data.draw(st.integers(0, 8 * len(bad) - 1))
    bad[bit // 8] ^= 1 << bit % 8
    path.write_bytes(good + bytes(bad))
    file = EventFile(path, path.parent)
    assert file.read() == [b"first"]
    with pytest.raises(Damaged, match=f"byte {len(good)}"):
        file.read()


def test_a_file_that_became_shorter_is_read_from_its_begin(file: EventFile) -> None:
    file.path.write_bytes(framed(b"one", b"two"))
    assert all_of(file) == [b"one", b"two"]
    file.path.write_bytes(framed(b"new"))
    assert all_of(file) == [b"new"]


def test_a_huge_record_is_passed_over_once_it_is_complete(file: EventFile) -> None:
    huge = framed(bytes(LARGEST + 1))
    file.path.write_bytes(framed(b"one") + huge[:-1])
    assert all_of(file) == [b"one"]
    with file.path.open("ab") as grown:
        grown.write(huge[-1:] + framed(b"two"))
    assert file.read() == []
    assert all_of(file) == [b"two"]


def test_a_file_larger_than_one_read(file: EventFile) -> None:
    records = [bytes([number]) * (LARGEST // 3) for number in range(8)]
    file.path.write_bytes(framed(*records))
    assert all_of(file) == records


def test_what_is_no_plain_file_of_the_folder_is_not_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(framed(b"x"))
    (inside / "link").symlink_to(outside / "file")
    (inside / "folder").symlink_to(outside)
    os.mkfifo(inside / "pipe")
    for name in ("link", "folder/file"):
        with pytest.raises(OSError):
            EventFile(inside / name, inside).read()
    assert EventFile(inside / "pipe", inside).read() == []


# --- scalars --------------------------------------------------------------------------------------


def event(*values: summary_pb2.Summary.Value, step: int = 3, at: float = 1.5) -> bytes:
    summary = summary_pb2.Summary(value=values)
    return bytes(event_pb2.Event(wall_time=at, step=step, summary=summary).SerializeToString())


def tensor(dtype: int, *dims: int, plugin: str = "scalars", **held: Any) -> Any:
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in dims]
    )
    data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin)
    return summary_pb2.Summary.Value(
        tag="x",
        tensor=tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **held),
        metadata=summary_pb2.SummaryMetadata(plugin_data=data),
    )


def simple(tag: str, value: float) -> Any:
    return summary_pb2.Summary.Value(tag=tag, simple_value=value)


def test_an_event_has_a_time_a_step_and_several_values() -> None:
    words = Scalars("a/").words(event(simple("x", 0.5), simple("y", math.inf)))
    assert words is not None
    assert (words.at, words.step, words.metrics) == (1_500_000, 3, {"a/x": 0.5, "a/y": "inf"})


@pytest.mark.parametrize("at", [math.nan, math.inf, -1.0, 1e300])
def test_a_time_that_is_none_is_left_out(at: float) -> None:
    words = Scalars("").words(event(simple("x", 1), at=at))
    assert words is not None and words.at is None


@pytest.mark.parametrize(
    ("dtype", "held", "value"),
    [
        (1, {"float_val": [0.5]}, 0.5),
        (1, {"tensor_content": struct.pack("<f", 0.5)}, 0.5),
        (2, {"double_val": [0.1]}, 0.1),
        (2, {"tensor_content": struct.pack("<d", 0.1)}, 0.1),
        (3, {"int_val": [-7]}, -7.0),
        (9, {"int64_val": [2**40]}, float(2**40)),
        (9, {"tensor_content": struct.pack("<q", 7)}, 7.0),
        (10, {"bool_val": [True]}, 1.0),
        (14, {"half_val": [0x3FC0]}, 1.5),
        (14, {"tensor_content": b"\xc0\x3f"}, 1.5),
        (19, {"half_val": [0x3E00]}, 1.5),
        (19, {"tensor_content": struct.pack("<e", 1.5)}, 1.5),
        (2, {"double_val": [math.nan]}, "nan"),
    ],
)
def test_a_scalar_is_a_tensor_of_one_number(dtype: int, held: Any, value: Any) -> None:
    for dims in ((), (1,), (1, 1)):
        words = Scalars("").words(event(tensor(dtype, *dims, **held)))
        assert words is not None and words.metrics == {"x": value}


@pytest.mark.parametrize(
    "value",
    [
        tensor(1, 2, float_val=[1, 2]),
        tensor(1, plugin="histograms", float_val=[1]),
        tensor(7, string_val=[b"text"]),
        tensor(1, tensor_content=b"abc"),
        tensor(1),
        summary_pb2.Summary.Value(tag="h", histo=summary_pb2.HistogramProto(min=1)),
        simple("", 1),
        simple("n" * 251, 1),
    ],
)
def test_what_is_no_scalar_says_nothing(value: Any) -> None:
    assert Scalars("").words(event(value)) is None


def test_a_tag_says_once_what_it_is_for() -> None:
    scalars, bare = Scalars(""), tensor(1, plugin="", float_val=[2])
    assert scalars.words(event(bare)) is None
    assert scalars.words(event(tensor(1, float_val=[1]))) is not None
    words = scalars.words(event(bare))
    assert words is not None and words.metrics == {"x": 2.0}


@given(st.binary(max_size=200))
def test_no_bytes_harm_the_reader(data: bytes) -> None:
    Scalars("").words(data)


# --- folders --------------------------------------------------------------------------------------


def write(path: Path, at: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    if at is not None:
        os.utime(path, ns=(at, at))
    return path


NAME = "events.out.tfevents.1.box"


def test_new_files_are_found_once_the_outer_ones_first(tmp_path: Path) -> None:
    finder = Finder(tmp_path, file_time(tmp_path) - 1)
    deep, outer = write(tmp_path / "a/b" / NAME), write(tmp_path / NAME)
    assert finder.look() == [outer, deep]
    assert finder.look() == []
    later = write(tmp_path / "a/c" / NAME)
    assert finder.look() == [later]


def test_an_old_file_is_found_when_it_is_written_to(tmp_path: Path) -> None:
    old = write(tmp_path / "runs" / NAME, at=10**18)
    finder = Finder(tmp_path, file_time(tmp_path) - 1)
    assert finder.look() == []
    write(old)
    assert finder.look() == [old]


def test_a_folder_that_did_not_change_is_not_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs"
    write(folder / NAME)
    for path in (folder, tmp_path):
        os.utime(path, ns=(10**18, 10**18))
    finder = Finder(tmp_path, 0)
    assert len(finder.look()) == 1
    listed: list[str] = []
    real = os.scandir
    monkeypatch.setattr(finding.os, "scandir", lambda path: listed.append(path) or real(path))
    assert finder.look() == [] and listed == []
    other = write(folder / f"{NAME}.other")
    assert finder.look() == [other] and listed == [str(folder)]


def test_nobody_logs_there(tmp_path: Path) -> None:
    for place in (".git", ".cache/x", "node_modules", "mlruns", "a/site-packages/b"):
        write(tmp_path / place / NAME)
    (tmp_path / "up").symlink_to("..")
    (tmp_path / NAME).mkdir()
    assert Finder(tmp_path, 0).look() == []


def test_a_folder_that_comes_later_or_goes(tmp_path: Path) -> None:
    finder = Finder(tmp_path / "later", 0)
    assert finder.look() == []
    file = write(tmp_path / "later" / NAME)
    assert finder.look() == [file]
    file.unlink()
    file.parent.rmdir()
    assert finder.look() == [] and not finder.overfull


def test_there_is_an_end_to_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_FILES", 3)
    for number in range(5):
        write(tmp_path / f"{NAME}.{number}")
    finder = Finder(tmp_path, 0)
    assert len(finder.look()) == 3 and finder.overfull
    assert finder.look() == []
    monkeypatch.setattr(finding, "MOST_FOLDERS", 2)
    for name in "abc":
        (tmp_path / "many" / name).mkdir(parents=True)
    finder = Finder(tmp_path / "many", 0)
    assert finder.look() == [] and finder.overfull


@pytest.mark.parametrize(
    ("folders", "prefixes"),
    [
        (["runs/Nov26_box"], [""]),
        (["runs/a", "runs/b"], ["", "b/"]),
        (["logs/train", "logs/validation", "logs"], ["train/", "validation/", ""]),
        (["runs/a", "runs/a/both_x", "other/c"], ["", "both_x/", "other/c/"]),
        (["runs/a", "runs/a/1795680000.25"], ["", ""]),
        (["."], [""]),
    ],
)
def test_what_stands_before_a_name(folders: list[str], prefixes: list[str]) -> None:
    root = Path("/work")
    found = Prefixes(root, named=False)
    assert [found.of(root / folder) for folder in folders] == prefixes


def test_in_a_folder_that_was_named_all_have_a_prefix() -> None:
    found = Prefixes(Path("/logs"), named=True)
    assert [found.of(Path(one)) for one in ("/logs/a/b", "/logs", "/logs/c")] == ["a/b/", "", "c/"]
