"""Requests, offers, and what one lacks for the other."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evq.core.fleet.resources import MEBI, Device, Offer, Request, lacks, parse_size, request_of
from evq.core.spec import Command, Limits, Spec
from evq.core.subjects import Level

WORDS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
REQUESTS = st.builds(
    Request,
    gpus=st.integers(0, 1024),
    gpu_memory=st.none() | st.integers(0, 2**20).map(lambda n: n * MEBI),
    cpus=st.none() | st.integers(1, 512_000).map(lambda n: n / 1000),
    memory=st.none() | st.integers(1, 2**24).map(lambda n: n * MEBI),
    labels=st.dictionaries(WORDS, WORDS, max_size=3),
)
SPEC = Spec(entry=Command(("true",)), name="x", queue="q")


@given(REQUESTS)
def test_a_class_says_what_is_asked_for(request: Request) -> None:
    assert parse_size(request.size) == request
    level = Level("q", 5, request.size)
    assert Level.from_key(level.key).request == request
    assert len(level.consumer) < 255


def test_a_task_that_asks_for_nothing_has_the_class_of_before() -> None:
    assert Level.of(SPEC) == Level("q", 5, "c0")
    assert parse_size("c0") == Request()


def test_a_class_from_a_newer_evq_asks_for_nothing() -> None:
    assert parse_size("z9-unheard-of") == Request()


def test_what_is_asked_for_is_rounded_up() -> None:
    assert Request(cpus=0.0101, memory=1, gpu_memory=MEBI + 1).size == "v2-c11-m1"


def test_limits_are_reserved() -> None:
    spec = replace(SPEC, limits=Limits(memory=2**30, cpus=1.5), gpus=2, needs={"gpu": "a100"})
    assert request_of(spec) == Request(2, None, 1.5, 2**30, {"gpu": "a100"})


def test_a_share_of_a_gpu_is_a_share_of_one() -> None:
    assert request_of(replace(SPEC, gpu_memory=2**30)) == Request(1, 2**30)


GPU = Device("GPU-0", 0, "A100", memory=80 * 2**30, free_memory=80 * 2**30)
SHARED = replace(GPU, free_memory=30 * 2**30)
OFFER = Offer(2, 8.0, 2**35, (GPU, SHARED), {"gpu": "a100"})


def test_what_fits_lacks_nothing() -> None:
    assert not lacks(Request(), OFFER)
    assert not lacks(Request(1, None, 8.0, 2**35, {"gpu": "a100"}), OFFER)
    assert not lacks(Request(2, 30 * 2**30), OFFER)


def test_what_is_missing_is_named() -> None:
    assert lacks(Request(2), OFFER) == ["2 GPUs, has 1"]
    assert lacks(Request(2, 31 * 2**30), OFFER) == ["2 GPUs with 31GiB, has 1"]
    assert lacks(Request(cpus=9.0), OFFER) == ["9 CPUs, has 8"]
    assert lacks(Request(memory=2**36), OFFER) == ["64GiB of memory, has 32GiB"]
    assert lacks(Request(labels={"gpu": "h100"}), OFFER) == ["label gpu=h100, is a100"]
    assert lacks(Request(labels={"zone": "eu"}), OFFER) == ["label zone=eu"]
    assert lacks(Request(), replace(OFFER, slots=0)) == ["no slot"]


def test_a_gpu_that_is_taken_broken_or_drained_takes_nothing() -> None:
    for change in ({"held": True}, {"foreign": "ann"}, {"drained": "bios"}, {"broken": "lost"}):
        assert not replace(GPU, **change).takes(None)
        assert not replace(GPU, **change).takes(1)


def test_what_is_left_beside_a_task() -> None:
    left = OFFER.without(Request(cpus=3.0, memory=2**34))
    assert (left.slots, left.cpus, left.memory) == (1, 5.0, 2**34)
