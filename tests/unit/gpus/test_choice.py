"""`--gpus` and the counts of `--queues`: what is understood, and what is said about the rest."""

from __future__ import annotations

import pytest

from evq.agent.gpus.choice import choose
from evq.agent.gpus.port import Gpu
from evq.core.errors import UsageError
from evq.core.fleet.resources import Request
from evq.core.fleet.served import GpuCount, counts_text, read_queues, wanted

GPUS = tuple(
    Gpu(id=f"GPU-{name}", index=n, name="A100", memory=80) for n, name in enumerate("abcd")
)
DIVIDED = (
    Gpu(id="GPU-x", index=0, name="A100", memory=80),
    Gpu(id="MIG-1", index=0, name="A100 MIG 1g.10gb", memory=10, parent="GPU-x"),
    Gpu(id="MIG-2", index=0, name="A100 MIG 1g.10gb", memory=10, parent="GPU-x"),
    Gpu(id="GPU-y", index=1, name="A100", memory=80),
)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("all", ["GPU-a", "GPU-b", "GPU-c", "GPU-d"]),
        ("none", []),
        ("0,1", ["GPU-a", "GPU-b"]),
        ("1-3", ["GPU-b", "GPU-c", "GPU-d"]),
        ("3, 0-1", ["GPU-a", "GPU-b", "GPU-d"]),
        ("GPU-c", ["GPU-c"]),
        ("gpu-c,0", ["GPU-a", "GPU-c"]),
    ],
)
def test_gpus_are_named(text: str, ids: list[str]) -> None:
    assert [gpu.id for gpu in choose(text, GPUS)] == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("all", ["MIG-1", "MIG-2", "GPU-y"]),
        ("0", ["MIG-1", "MIG-2"]),
        ("GPU-x", ["MIG-1", "MIG-2"]),
        ("MIG-2,1", ["MIG-2", "GPU-y"]),
    ],
)
def test_a_divided_gpu_stands_for_its_instances(text: str, ids: list[str]) -> None:
    assert [gpu.id for gpu in choose(text, DIVIDED)] == ids


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7", "there is no GPU 7 here"),
        ("2-9", "there is no GPU 4 here"),
        ("3-1", "ends before it begins"),
        ("GPU-", "4 GPUs begin so"),
        ("GPU-z", "no GPU here is called so"),
        ("0,,1", "no index, no range"),
        ("-1", "no index, no range"),
        ("0,0-1", "twice"),
    ],
)
def test_what_cannot_be_given_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(text, GPUS)
    error = caught.value
    assert said in f"{error.what} {error.why}" and "--gpus" in error.fix


def test_a_machine_without_gpus() -> None:
    assert choose("all", ()) == ()
    with pytest.raises(UsageError, match="--gpus 0") as caught:
        choose("0", ())
    assert "none that evq can see" in caught.value.why and caught.value.fix == "--gpus none"


# --- queues with a count --------------------------------------------------------------------------


def test_queues_with_and_without_a_count() -> None:
    served = read_queues("dual=2, single=1,spare=1-4,cpu")
    assert served == {
        "dual": GpuCount(2, 2),
        "single": GpuCount(1, 1),
        "spare": GpuCount(1, 4),
        "cpu": None,
    }
    assert counts_text(served) == "dual=2,single=1,spare=1-4"


@pytest.mark.parametrize("text", ["a=", "a=x", "a=4-1", "a=-1", "a=1.5", "a,a=1", "a b=1", ""])
def test_what_is_no_list_of_queues(text: str) -> None:
    with pytest.raises(UsageError):
        read_queues(text)


def test_a_task_that_asks_itself_gets_what_it_asks() -> None:
    count = GpuCount(2, 4)
    assert wanted(Request(), count).gpus == 2
    assert wanted(Request(1), count).gpus == 1
    assert wanted(Request(1, 100), count) == Request(1, 100)
    assert wanted(Request(cpus=2.0), None) == Request(cpus=2.0)
