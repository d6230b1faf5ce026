"""`--as-of` and `evq replay`: what a person sees of what is past."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios
from typing import Any

import msgspec

from evq.core.bus.connect import Bus
from evq.core.gangs.gang import member_id
from evq.core.state import Task


async def lived(evq: Any, played: Any) -> Task:
    """A task that failed."""
    task = (await evq("enqueue", "--quiet", "--", "train", "--lr", "0.1")).out.strip()
    ended: Task = await played.runs(task, exit_code=3)
    return ended


async def test_replay_tells_each_event_and_what_it_changed(evq: Any, played: Any) -> None:
    task = await lived(evq, played)
    result = await evq("replay", task.id[:6])
    assert result.status == 0, result.err
    steps = result.out.split("\n\n")
    assert [re.sub(r"  .*", "", step.splitlines()[0]) for step in steps] == [
        f"{number}/6" for number in range(1, 7)
    ]
    assert "enqueued on default: train --lr 0.1" in steps[0]
    assert re.search(r"state +queued → claimed\n", steps[1])
    assert re.search(r"attempt 1\.agent +– → laptop\n", steps[1])
    assert re.search(r"attempt 1\.phases\.1\.seconds +– → 0\.5\n", steps[3])
    assert re.search(r"state +running → failed\n", steps[5])
    assert re.search(r"exit_code +– → 3\n", steps[5])
    assert f"#{task.seq}  " in steps[5]


async def test_replay_as_json(evq: Any, played: Any) -> None:
    task = await lived(evq, played)
    out = (await evq("replay", task.id, "--json")).out
    steps = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [step["event"]["kind"] for step in steps] == [
        "enqueued", "claimed", "phase", "phase", "started", "finished",
    ]  # fmt: skip
    assert [step["state"]["after"] for step in steps] == [
        "queued", "claimed", "claimed", "claimed", "running", "failed",
    ]  # fmt: skip
    assert [step["state"]["before"] for step in steps[:2]] == [None, "queued"]
    assert (steps[-1]["by"], steps[-1]["seq"], steps[-1]["of"]) == ("laptop", task.seq, 6)
    assert steps[0]["waited_seconds"] is None and steps[1]["waited_seconds"] >= 0
    assert {"name": "outcome", "old": None, "new": "failed"} in steps[-1]["changes"]


async def test_replay_of_a_gang_shows_all_members_in_the_order_of_the_log(
    evq: Any, played: Any
) -> None:
    gang = (await evq("enqueue", "--quiet", "--nodes", "2", "--", "train")).out.strip()
    await played.claims(member_id(gang, 1))
    await played.claims(gang)
    whole = (await evq("replay", gang)).out
    heads = [line for line in whole.splitlines() if "/4" in line]
    assert [line[:3] for line in heads] == ["[0]", "[1]", "[1]", "[0]"]
    alone = (await evq("replay", f"{gang}/1")).out
    assert "1/2" in alone and "[0]" not in alone


async def test_keys_lead_through_a_life(evq: Any, played: Any, until: Any) -> None:
    task = await lived(evq, played)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        evq.argv("replay", task.id), cwd=evq.cwd, env={**evq.env, "TERM": "xterm"},
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)

    def shows(step: bytes) -> None:
        """Return when a page is complete that has this step."""
        seen = b""
        while not (step in seen and seen.partition(step)[2].count(b"q end")):
            seen += os.read(ours, 4096)

    try:
        for keys, step in (
            (b"", b"1/6"), (b" ", b"2/6"), (b"\x1b[C", b"3/6"), (b"\x1b[D", b"2/6"),
            (b"G", b"6/6"), (b"n", b"6/6"), (b"g", b"1/6"), (b"p", b"1/6"),
        ):  # fmt: skip
            os.write(ours, keys)
            shows(step)
            # What is typed before it waits for a key is thrown away.
            await until(lambda: not termios.tcgetattr(ours)[3] & termios.ICANON)
        os.write(ours, b"q")
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


async def test_show_as_of_an_event(evq: Any, played: Any) -> None:
    task = await lived(evq, played)
    then = await evq("show", task.id, "--as-of", f"#{task.origin}")
    assert then.status == 0, then.err
    assert "queued for" in then.out and "attempt 1" not in then.out
    assert re.match(r"as of \d{4}-\d\d-\d\d [\d:]{8} [+-]\d{4}, event \d+ of the log\n", then.err)
    facts = (await evq("show", task.id, "--as-of", f"#{task.attempts[0].claim}", "--json")).json
    assert (facts["state"], facts["exit_code"], len(facts["attempts"])) == ("claimed", None, 1)


async def test_a_moment_reaches_the_projector(
    evq: Any, played: Any, projector: Any, bus: Bus
) -> None:
    task = await lived(evq, played)
    at = await bus.log.stored_at(task.origin)
    async with projector({"tasks": [], "sql": []}) as asked:
        listed = await evq("ls", "--as-of", f"#{task.origin}")
        await evq("sql", "select 1", "--as-of", f"#{task.origin}")
    assert [words["moment"] for words in asked] == [{"seq": task.origin, "at": at}] * 2
    assert (listed.status, listed.out) == (0, "")
    assert "there was no task then" in listed.err


async def test_a_moment_that_is_none(evq: Any, played: Any) -> None:
    await lived(evq, played)
    for when, status, words in (
        ("soon", 2, "'soon' is no time"),
        ("2999-01-01", 2, "has not come yet"),
        ("#9999", 4, "there is no event 9999 in the log"),
    ):
        result = await evq("ls", "--as-of", when)
        assert (result.status, words in result.err) == (status, True), result.err
