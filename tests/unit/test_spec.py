"""What a user may ask for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from evq.core.errors import UsageError
from evq.core.spec import Code, Command, Limits, Module, Script, Spec, argv_text, check_spec

SPEC = Spec(entry=Script("train.py", ("--lr", "0.1")), name="train", queue="default")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"priority": 0},
        {"priority": 9},
        {"retries": 3, "losses": 0},
        {"timeout": 0.5, "grace": 10},
        {"limits": Limits(memory=2**30, cpus=0.5, processes=1)},
        {"gpus": 2, "needs": {"gpu": "a100", "zone": "eu-1"}, "nodes": 4},
        {"gpu_memory": 20 * 2**30},
        {"variables": {"A": "b=c", "EMPTY": ""}},
        {"secrets": ("HF_TOKEN", "wandb_key=WANDB_API_KEY"), "variables": {"A": "b"}},
        {"entry": Command(("ls", "-l"))},
    ],
)
def test_what_an_agent_can_act_on(change: dict[str, Any]) -> None:
    spec = msgspec.structs.replace(SPEC, **change)
    assert check_spec(spec) is spec


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"queue": "a.b"}, "queue"),
        ({"priority": 10}, "priority"),
        ({"priority": -1}, "priority"),
        ({"retries": -1}, "negative"),
        ({"losses": -1}, "negative"),
        ({"timeout": 0.0}, "timeout"),
        ({"grace": -1.0}, "grace"),
        ({"limits": Limits(memory=1000)}, "--memory 1000 is too little"),
        ({"limits": Limits(cpus=float("nan"))}, "--cpus nan"),
        ({"limits": Limits(processes=0)}, "--processes 0"),
        ({"gpus": -1}, "--gpus -1"),
        ({"gpu_memory": 0}, "--gpu-mem 0"),
        ({"nodes": 0}, "--nodes 0"),
        ({"needs": {"gpu": "a 100"}}, "not a label"),
        ({"needs": {"": "x"}}, "not a label"),
        ({"needs": {"a": "x" * 100}}, "too long"),
        ({"project": "two\nlines"}, "--project"),
        ({"entry": Command(())}, "no command"),
        ({"variables": {"": "x"}}, "environment variable"),
        ({"variables": {"A=B": "x"}}, "environment variable"),
        ({"variables": {"A": "x\0y"}}, "environment variable"),
        ({"secrets": ("hf_token",)}, "a secret is named"),
        ({"secrets": ("TOKEN=hf_0123",)}, "a secret is named"),
        ({"secrets": ("EVQ_SOCKET=TOKEN",)}, "a secret is named"),
        ({"secrets": ("A", "A=B")}, "two secrets"),
        ({"secrets": ("A",), "variables": {"A": "b"}}, "set twice"),
    ],
)
def test_what_no_agent_can_act_on(change: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        check_spec(msgspec.structs.replace(SPEC, **change))
    assert caught.value.fix
    assert "hf_0123" not in f"{caught.value} {caught.value.fix}"


def test_the_entry_as_one_line() -> None:
    assert argv_text(SPEC.entry) == "train.py --lr 0.1"
    assert argv_text(Module("pkg.train", ("-v",))) == "-m pkg.train -v"
    assert argv_text(Command(("make", "all"))) == "make all"


def test_what_is_not_said_is_not_written() -> None:
    assert msgspec.to_builtins(SPEC) == {
        "entry": {"kind": "script", "path": "train.py", "args": ("--lr", "0.1")},
        "name": "train",
        "queue": "default",
    }
    assert msgspec.to_builtins(Code("abc", ("b1",))) == {"snapshot": "abc", "blobs": ("b1",)}
