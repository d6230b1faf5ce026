"""Arguments of containers, names of images and packages: what is read, and what is refused."""

from __future__ import annotations

import pytest

from evq.agent.containers.engine import split_name
from evq.agent.containers.lodging import limited
from evq.agent.containers.progress import Progress
from evq.core.container import (
    Arguments,
    Gpus,
    Port,
    check_image,
    check_packages,
    check_setup,
    guarded,
    read_arguments,
)
from evq.core.errors import UsageError
from evq.core.spec import Limits

ULIMITS = (("nofile", 10, 20), ("core", 0, 0))
PORTS = (Port("8888/tcp"), Port("8080/udp", 80), Port("2/tcp", 1, "0.0.0.0"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), Arguments()),
        (("--shm-size=8g",), Arguments(shm_size=8 * 2**30)),
        (("--shm-size 8g --read-only",), Arguments(shm_size=8 * 2**30, read_only=True)),
        (("-e", "A=b=c", "--env=D="), Arguments(env={"A": "b=c", "D": ""})),
        (("--ulimit nofile=10:20", "--ulimit=core=0"), Arguments(ulimit=ULIMITS)),
        (("-p 8888", "-p 80:8080/udp", "-p 0.0.0.0:1:2"), Arguments(publish=PORTS)),
        (("-m 1GiB", "--cpus=1.5"), Arguments(memory=2**30, cpus=1.5)),
        (("--pids-limit=9", "--dns 1.1.1.1"), Arguments(pids_limit=9, dns=("1.1.1.1",))),
        (("--memory=1g", "--memory=2g"), Arguments(memory=2 * 2**30)),
        (("-v '/a b:/c'",), Arguments(volume=("/a b:/c",))),
        (("--gpus all",), Arguments(gpus=Gpus(-1))),
        (("--gpus=2",), Arguments(gpus=Gpus(2))),
        (("--gpus=device=0,GPU-3a",), Arguments(gpus=Gpus(ids=("0", "GPU-3a")))),
    ],
)
def test_arguments_are_read(words, said) -> None:
    assert read_arguments(words) == said


@pytest.mark.parametrize(
    "word",
    [
        *(
            "--entrypoint=sh",
            "--user=0",
            "--pid=host",
            "--name=x",
            "--userns=host",
            "--rm",
            "image",
        ),
        *("--shm-size", "--shm-size=x", "-p", "-p x", "-p 1:2:3:4", "--ulimit=nofile", "--env=A"),
        *("--gpus=0", "--gpus=some", "--gpus=device=", "--gpus=device=0,"),
        *("--cpus=much", "--mount=type=bind", "--restart=always", "-v", "'", "--uts=host"),
    ],
)
def test_nothing_else_is(word) -> None:
    with pytest.raises(UsageError):
        read_arguments([word])


def test_what_reaches_outside_is_known() -> None:
    words = ("--network=none", "-v /:/host", "--env=A=b", "--privileged", "--network", "host")
    assert guarded(words) == ("volume", "privileged", "network")
    assert guarded(("--network none", "--network=bridge", "--shm-size=1g")) == ()


@pytest.mark.parametrize("name", ["a", "python:3.12-slim", "h:5000/a/b_c@sha256:" + "0" * 64])
def test_names_of_images(name) -> None:
    assert check_image(name) == name


@pytest.mark.parametrize("name", ["", "-v", "--privileged", "a b", "a;b", "/a", "a" * 300])
def test_what_is_no_image(name) -> None:
    with pytest.raises(UsageError):
        check_image(name)


def test_names_of_packages() -> None:
    check_packages(("libgl1", "g++", "ffmpeg=7:5.1.6-0+deb12u1", "libc6:i386", "python3.11"))
    for name in ("", "-o", "--allow", "A", "a b", "a;b", "./x.deb", "a=$(b)", "x"):
        with pytest.raises(UsageError):
            check_packages((name,))


def test_a_set_up_script_has_bounds() -> None:
    check_setup("x" * 64 * 1024)
    for script in ("x" * (64 * 1024 + 1), "a\0b"):
        with pytest.raises(UsageError):
            check_setup(script)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", "latest")),
        ("a:1", ("a", "1")),
        ("h:5000/a", ("h:5000/a", "latest")),
        ("h:5000/a/b:1", ("h:5000/a/b", "1")),
        ("h:5000/a@sha256:ff", ("h:5000/a", "sha256:ff")),
    ],
)
def test_a_name_and_its_tag(name, parts) -> None:
    assert split_name(name) == parts


def test_the_tighter_limit_counts() -> None:
    said = Arguments(memory=100, cpus=4.0)
    assert limited(said, Limits(memory=200, cpus=2.0, processes=9)) == Arguments(
        memory=100, cpus=2.0, pids_limit=9
    )
    assert limited(said, None) == said


def test_a_pull_is_told_in_steps() -> None:
    progress = Progress("image")
    mib = 2**20

    def word(layer: str, done: int, total: int) -> dict[str, object]:
        detail = {"current": done * mib, "total": total * mib}
        return {"status": "Downloading", "id": layer, "progressDetail": detail}

    assert progress.heard({"status": "Pulling fs layer", "id": "a"}) is None
    assert progress.heard(word("a", 1, 100)) == "pulling image: 1MiB of 100MiB in 1 layers"
    assert progress.heard(word("a", 60, 100)) is None
    assert progress.heard(word("b", 10, 20)) == "pulling image: 70MiB of 120MiB in 2 layers"
    assert progress.heard({"status": "Download complete", "id": "a"}) is None
    assert progress.heard(word("b", 20, 20)) is None
    assert progress.heard({"status": "Digest: sha256:ff"}) == "Digest: sha256:ff"
