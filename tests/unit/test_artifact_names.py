"""What artifacts may be called, which of them count, and what their folders may hold."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from evq.core import events
from evq.core.artifacts import (
    MOST_NAMES,
    artifacts_of,
    check_artifact_name,
    find_artifact,
    read_depot,
)
from evq.core.commands import Holder, SaveArtifact
from evq.core.decide import Rejected, decide
from evq.core.errors import NotFound, UsageError
from evq.core.evolve import create, fold
from evq.core.sdk import carrying
from evq.core.spec import Command, Spec
from evq.core.state import Task

SPEC = Spec(entry=Command(("true",)), name="t", queue="q", retries=3)
DIGESTS = {text: hashlib.sha256(text.encode()).hexdigest() for text in ("one", "two")}


def saved(attempt: int, name: str, text: str = "one") -> events.ArtifactSaved:
    return events.ArtifactSaved(attempt=attempt, name=name, digest=DIGESTS[text], size=3)


def claimed(attempt: int) -> events.Claimed:
    return events.Claimed(attempt=attempt, agent="w", instance="i", slot=0, hint=1, lease=9.0)


def task_after(*what: events.Lifecycle) -> Task:
    task = create(1, 0, "me", events.Enqueued("t" * 12, SPEC))
    return fold(task, [(seq, seq, "w", event) for seq, event in enumerate(what, 2)])


@pytest.mark.parametrize(
    "name", ["model.pt", "best/epoch=3-step=500.ckpt", "-x", "ä b", ".hidden", "a" * 100]
)
def test_names(name: str) -> None:
    assert check_artifact_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "a/../b",
        "./a",
        "a/",
        "a//b",
        "a\\b",
        "c:",
        "a\0",
        "a\nb",
        "x" * 201,
        "é" * 100,
        "\u202emodel",
    ],
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UsageError):
        check_artifact_name(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nats", "nats"),
        ("/shared/evq/", "/shared/evq"),
        ("s3://lab", "s3://lab"),
        ("s3://lab/of/evq/", "s3://lab/of/evq"),
    ],
)
def test_depots(text: str, name: str) -> None:
    assert read_depot(text) == name


@pytest.mark.parametrize("text", ["", "/", "shared", "s3://", "s3:///x", "gs://x", "nats2"])
def test_what_is_no_depot(text: str) -> None:
    with pytest.raises(ValueError):
        read_depot(text)


def test_the_later_attempt_counts_and_the_later_save() -> None:
    retry = events.Retry(attempt=1, outcome=events.Outcome.FAILED, delay=0.0)
    task = task_after(
        claimed(1), saved(1, "a"), saved(1, "b"), saved(1, "b", "two"), retry,
        claimed(2), saved(2, "a", "two"),
    )  # fmt: skip
    assert {name: one.digest for name, one in artifacts_of(task).items()} == {
        "a": DIGESTS["two"],
        "b": DIGESTS["two"],
    }
    assert find_artifact(task, "a", attempt=1).digest == DIGESTS["one"]
    with pytest.raises(NotFound, match="attempt 2"):
        find_artifact(task, "b", attempt=2)


def test_an_attempt_that_is_not_live_saves_nothing() -> None:
    lost = events.Lost(attempt=1, cause=events.Cause.LOST_AGENT, why="silent")
    task = task_after(claimed(1), lost, claimed(2), saved(1, "a"))
    assert artifacts_of(task) == {}


def test_an_attempt_saves_so_many_names_and_any_of_them_again() -> None:
    names = [f"f{number}" for number in range(MOST_NAMES)]
    task = task_after(claimed(1), *(saved(1, name) for name in names))
    again = SaveArtifact(Holder("i", 1), "f7", DIGESTS["two"], 3, False, "nats")
    assert decide(task, again) == saved(1, "f7", "two")
    more = SaveArtifact(Holder("i", 1), "more", DIGESTS["two"], 3, False, "nats")
    with pytest.raises(Rejected, match="1000 artifacts"):
        decide(task, more)


# --- folders ------------------------------------------------------------------------------------


def packed(folder: Path) -> bytes:
    archive = io.BytesIO()
    carrying.pack(str(folder), archive)
    return archive.getvalue()


def test_equal_folders_are_equal_archives(tmp_path: Path) -> None:
    for name, order in (("one", ("a", "b", "d/c")), ("two", ("d/c", "b", "a"))):
        for file in order:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
            os.utime(path, (len(name), 7))
    assert packed(tmp_path / "one") == packed(tmp_path / "two")
    (tmp_path / "two" / "a").chmod(0o755)
    assert packed(tmp_path / "one") != packed(tmp_path / "two")


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "pipe")
    with pytest.raises(ValueError, match="neither"):
        packed(tmp_path / "out")
    (tmp_path / "out" / "pipe").unlink()
    (tmp_path / "out" / "up").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="link to a folder"):
        packed(tmp_path / "out")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        one = tarfile.TarInfo(name)
        one.type, one.linkname = kind, link
        tar.addfile(one)
    return archive.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        member("../up"),
        member("/etc/passwd"),
        member("a/../../up"),
        member("a", tarfile.SYMTYPE, "/etc/passwd"),
        member("a", tarfile.LNKTYPE, "/etc/passwd"),
        member("a", tarfile.FIFOTYPE),
        member("a", tarfile.CHRTYPE),
        member("..", tarfile.DIRTYPE),
    ],
)
def test_nothing_leads_out_of_a_folder(archive: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    with pytest.raises(ValueError, match="has no place"):
        carrying.unpack(io.BytesIO(archive), str(folder))
    assert [path for path in tmp_path.rglob("*") if path != folder] == [tmp_path / "deep"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("model.pt", "model.pt"),
        ("./out/", "out"),
        ("out/a", "out/a"),
        ("/tmp/x/model.pt", "model.pt"),
        ("../model.pt", "model.pt"),
    ],
)
def test_what_a_file_is_called(path: str, name: str) -> None:
    assert carrying.name_of(path) == name


def test_outside_a_task_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evq

    monkeypatch.delenv("EVQ_SOCKET", raising=False)
    (tmp_path / "a").write_text("a")
    assert evq.save(tmp_path / "a") == "a"
    with pytest.raises(FileNotFoundError):
        evq.save(tmp_path / "b")
