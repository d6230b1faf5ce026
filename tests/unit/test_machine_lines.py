"""What `evq worker` says of a machine, out of a row as a projector gives it."""

from __future__ import annotations

from typing import Any

from evq.cli.machine import machine_lines

GIB = 2**30


def figure(value: float) -> dict[str, float]:
    return {"mean": value, "max": value + 5, "last": value - 5}


def row(**changes: Any) -> dict[str, Any]:
    silent = ("swap", "temperature", "disk_read", "disk_write", "net_in", "net_out")
    return {
        "ts": "2026-05-29T12:00:00.000000Z",
        "cpu": figure(40),
        "memory": figure(12 * GIB + 5),
        "memory_total": 64 * GIB,
        "disk": None,
        "disk_total": None,
        "swap_total": 0,
        "trouble": "",
        "gpus": [],
        **dict.fromkeys(silent),
        **changes,
    }


def gpu(**changes: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "utilisation": figure(90),
        "memory": figure(60 * GIB + 5),
        "memory_total": 80 * GIB,
        "temperature": figure(60),
        "power": figure(380),
        "power_limit": 400.0,
        "trouble": "",
        **changes,
    }


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert list(machine_lines(None)) == []
    ((title, text),) = machine_lines(row())
    assert title == "machine"
    assert text.startswith("CPU 40 %, at most 45 %, memory 12GiB of 64GiB (")


def test_all_that_a_machine_tells() -> None:
    known = row(
        temperature=figure(60),
        swap=figure(GIB + 5),
        swap_total=2 * GIB,
        disk_read=figure(2**20),
        net_out=figure(2**21),
        trouble="the driver is odd",
        gpus=[gpu(), gpu(index=1, trouble="lost: it fell off the bus")],
    )
    told = dict(machine_lines(known))
    assert "swap 1GiB of 2GiB, 65 °C" in told["machine"]
    assert told["traffic"] == "disk reads 1MiB/s, out 2MiB/s"
    assert told["trouble"] == "the driver is odd"
    assert told["gpu 0"] == "90 % used, at most 95 %, 60GiB of 80GiB, 65 °C, 380 of 400 W"
    assert told["gpu 1"] == "lost: it fell off the bus"


def test_an_instance_of_a_divided_gpu_tells_less() -> None:
    known = gpu(utilisation=None, temperature=None, power=None, power_limit=None)
    assert dict(machine_lines(row(gpus=[known])))["gpu 0"] == "60GiB of 80GiB"
