"""The page of workers and queues, as far as it needs no browser."""

from __future__ import annotations

from typing import Any

import pytest
from sampled import sample

from evq.core.fleet.presence import AgentPresence, RunningTask
from evq.core.fleet.resources import Device, Offer
from evq.projector.web.pages.fleet.choices import Choices, read_choices
from evq.projector.web.pages.fleet.groups import (
    groups,
    host_prefix,
    kinds,
    sum_of,
    words_of,
)
from evq.projector.web.pages.fleet.picture import (
    Gpu,
    Queue,
    Worker,
    matches,
    mean,
    share,
    shown,
    totals,
)
from evq.projector.web.pages.fleet.present import asks, gpu_rows, running_rows
from evq.projector.web.pages.fleet.workers import gpu_words, row

GIB = 2**30


def gpu(index: int, state: Any, **more: Any) -> Gpu:
    return Gpu(id=f"GPU-{index}", index=index, name="A100", state=state, **more)


WORKERS = [
    Worker(name="a", state="busy", gpus=(gpu(0, "busy"), gpu(1, "outside"))),
    Worker(name="b", state="idle", gpus=(gpu(0, "idle"),)),
    Worker(name="c", state="draining"),
    Worker(name="d", state="lost", gpus=(gpu(0, "offline"),)),
    Worker(name="e", state="down"),
]


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ("", "abcde"),
        ("busy", "a"),
        ("idle", "b"),
        ("held-back", "c"),
        ("gone", "d"),
        ("gpu-outside", "a"),
        ("gpu-offline", "d"),
        ("what nobody knows", "abcde"),
    ],
)
def test_a_tile_lets_through_what_it_counts(filter: str, names: str) -> None:
    assert "".join(one.name for one in WORKERS if matches(one, filter)) == names


FLEET = [
    Worker(name="x", host="gpu-a01.lab", state="busy", labels={"zone": "b"}, cpu=80.0, memory=6.0,
           memory_total=8.0, gpus=(gpu(0, "busy"), gpu(1, "busy")), queues=("q",)),
    Worker(name="y", host="gpu-a02.lab", state="idle", labels={"zone": "a"}, cpu=20.0, memory=2.0,
           memory_total=24.0, gpus=(gpu(0, "idle"),), queues=("q", "r")),
    Worker(name="z", host="cpu", state="idle"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("state", {"busy": "x", "idle": "yz"}),
        ("host", {"cpu": "z", "gpu-a": "xy"}),
        ("label:zone", {"a": "y", "b": "x", "–": "z"}),
        ("label:nothing", {"–": "xyz"}),
    ],
)
def test_workers_that_belong_together(by: str, found: dict[str, str]) -> None:
    made = {one.name: "".join(w.name for w in one.workers) for one in groups(FLEET, by)}
    assert made == found


@pytest.mark.parametrize(
    ("host", "prefix"),
    [("gpu-a017.example.org", "gpu-a"), ("node_3", "node"), ("box", "box"), ("10", "10")],
)
def test_numbered_hosts_have_a_name_in_common(host: str, prefix: str) -> None:
    assert host_prefix(host) == prefix


def test_a_group_is_summed_up() -> None:
    group = groups(FLEET, "host")[1]
    whole = sum_of(group)
    assert (whole.cpu, whole.memory, whole.memory_total) == (50.0, 8.0, 32.0)
    assert whole.queues == ("q", "r") and whole.disk is None
    assert words_of(group) == "0 tasks · 2 of 3 GPUs busy · 1 busy, 1 idle"
    assert list(kinds(FLEET)) == ["", "state", "host", "label:zone"]


def test_the_totals_leave_out_who_ended_in_order() -> None:
    queues = [Queue(name="q", state="open", queued=2, busy=1), Queue(name="r", state="open")]
    found = totals(filter(shown, WORKERS), queues)
    assert (found.workers, found.there, found.queued, found.running) == (4, 3, 2, 1)
    assert found.states == {"busy": 1, "idle": 1, "held-back": 1, "gone": 1}
    assert found.gpus == {"busy": 1, "outside": 1, "idle": 1, "offline": 1}


def test_an_address_says_what_was_chosen_and_no_more() -> None:
    chosen = Choices(path="/", show="gpu-idle", words="a b&c", queue="q", hours=168, at=17)
    said = {name: value for name, value in chosen.values.items() if value}
    assert said == {"show": "gpu-idle", "q": "a b&c", "queue": "q", "hours": "168", "at": "17"}
    assert read_choices("/", said) == chosen
    assert not any(Choices(path="/").values.values())


@pytest.mark.parametrize("at", ["-1", "soon", "1e9", "²", "9" * 30, ""])
def test_an_address_that_makes_no_sense_counts_as_not_said(at: str) -> None:
    assert read_choices("/", {"at": at, "hours": "99"}) == Choices(path="/")


def test_gpus_are_told_by_what_is_known_of_them() -> None:
    devices = (
        Device(id="GPU-0", index=0, memory=80 * GIB, held=True),
        Device(id="GPU-1", index=1, memory=80 * GIB, free_memory=80 * GIB),
        Device(id="GPU-9", index=2, memory=80 * GIB, foreign="carol python 60GiB"),
    )
    task = RunningTask(
        task="t", attempt=1, name="train", user="ann", slot=0, since=5, gpus=("GPU-0",)
    )
    there = AgentPresence(
        agent="a",
        instance="i",
        host="h",
        pid=1,
        queues=("q",),
        order="strict",
        slots=2,
        claims=(7,),
        offer=Offer(2, devices=devices),
        free=Offer(1, devices=devices),
        running=(task,),
    )
    first, second, third = gpu_rows(there, sample())
    assert (first.state, first.utilisation, first.memory_total) == ("busy", 50, 80 * GIB)
    assert first.words == "t ann train"
    assert (second.state, second.words) == ("offline", "lost")
    assert (third.state, third.utilisation) == ("outside", None)
    assert gpu_words(third) == "GPU 2: outside: carol python 60GiB"
    (runs,) = running_rows(there)
    assert (runs.task, runs.gpus) == ("t", (0,))
    assert [one.state for one in gpu_rows(there, None)] == ["busy", "idle", "outside"]


def test_no_key_of_a_row_is_a_users() -> None:
    """NiceGUI runs the value of a key that begins with a colon."""
    hostile = ":alert(1)"
    keys = row(Worker(name=hostile, host=hostile, state=hostile, queues=(hostile,))).keys()
    assert keys == row(WORKERS[0]).keys() and not any(key.startswith(":") for key in keys)


def test_shares_of_what_is_not_known_are_not_known() -> None:
    assert (share(None, 5), share(1, None), share(1, 0), share(1, 4)) == (None, None, None, 25)
    assert (mean([]), mean([None]), mean([1, None, 3])) == (None, None, 2)


def test_what_a_task_asks_for_in_words() -> None:
    assert asks("c0") == ""
    assert asks("g2-c4000-m16384") == "2 GPUs, 4 CPUs, 16GiB"
    assert asks("g1-v10240") == "1 GPU with 10GiB"
