"""What a task gives out: it is part of its end, whoever gave it and however."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from evq.core.events import Finished


async def outputs(queue: Any, text: str) -> Any:
    """What a task that runs this Python has given out."""
    task = await queue.enqueue(sys.executable, "-c", text)
    await queue.ended(task)
    return (await queue.event(task, Finished)).outputs


async def test_what_is_given_out_stands_in_the_event_of_the_end(served: Any) -> None:
    text = "import evq\nevq.output(a=1, b=[1, {'c': None}])\nevq.output(a='é')"
    assert await outputs(served, text) == {"a": "é", "b": [1, {"c": None}]}


async def test_it_stands_there_when_the_process_ends_at_once(served: Any) -> None:
    text = "import evq, os\nevq.output(last=True)\nos._exit(0)"
    assert await outputs(served, text) == {"last": True}


async def test_a_task_that_fails_has_given_out_what_it_has(served: Any) -> None:
    assert await outputs(served, "import evq\nevq.output(n=3)\nraise SystemExit(2)") == {"n": 3}


async def test_too_much_is_refused_where_it_is_given(served: Any) -> None:
    text = "import evq\ntry: evq.output(x='y' * 33_000)\nexcept ValueError as e: print(e)"
    task = await served.enqueue(sys.executable, "-c", text)
    await served.ended(task)
    assert "outputs of 32 KiB are too big" in "\n".join(await served.lines(task, "o"))


async def test_more_than_an_end_has_room_for_is_left_out_and_said(served: Any) -> None:
    text = "import evq\nfor n in range(3): evq.output(**{f'x{n}': 'y' * 30_000})"
    task = await served.enqueue(sys.executable, "-c", text)
    await served.ended(task)
    assert sorted((await served.event(task, Finished)).outputs) == ["x0", "x1"]
    assert "outputs were left out" in "\n".join(await served.lines(task))


@pytest.mark.parametrize("value", ["float('nan')", "object()"])
def test_what_json_cannot_hold_is_refused(value: str) -> None:
    from evq.core.sdk import task

    with pytest.raises((TypeError, ValueError)):
        task.output(x=eval(value))


async def test_any_language_can_give_out(served: Any) -> None:
    line = json.dumps({"outputs": {"from": "elsewhere"}})
    text = (
        "import os, socket\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(os.environ['EVQ_SOCKET'])\n"
        f"s.sendall({line!r}.encode() + b'\\n')"
    )
    task = await served.enqueue("true")
    assert (await served.ended(task)).state.outputs == {}
    assert await outputs(served, text) == {"from": "elsewhere"}
