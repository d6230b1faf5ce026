"""`evq queue limit`, and what is said of a limit."""

from __future__ import annotations

from typing import Any


async def enqueued(evq: Any, *words: str) -> str:
    return str((await evq("enqueue", "-q", "gpu", "--quiet", *words, "--", "train")).out.strip())


async def test_a_limit_is_set_told_and_lifted(evq: Any, played: Any) -> None:
    await played.appear("gpu")
    done = await evq("queue", "limit", "gpu", "2", "--per-user", "1", "--reason", "a small fleet")
    assert done.out == (
        "0 of 2 of queue gpu run, at most 1 of each user\n  undo evq queue limit gpu none\n"
    )
    facts = (await evq("queue", "limit", "gpu", "none", "--json")).json
    assert (facts["most"], facts["per_user"], facts["held"]) == (None, None, [])
    assert facts["undo"] == ["evq queue limit gpu 2 --per-user 1"]
    again = await evq("queue", "limit", "gpu", "none")
    assert again.out.startswith("queue gpu has no limit\n")


async def test_why_and_the_page_tell_of_it(evq: Any, played: Any) -> None:
    await played.appear("gpu")
    await evq("queue", "limit", "gpu", "1")
    first = await enqueued(evq)
    await enqueued(evq)
    reasons = (await evq("why", "--json")).json["reasons"]
    assert {"ok": True, "text": "limit: 0 of 1 of queue gpu run"} in reasons
    await played.claims(first, permit="gpu")
    reasons = (await evq("why", "--json")).json["reasons"]
    assert {"ok": False, "text": "limit: 1 of 1 of queue gpu run"} in reasons
    assert "1 of 1 of queue gpu run" in (await evq("queue", "gpu")).out
    limit = (await evq("queue", "gpu", "--json")).json["limit"]
    assert (limit["most"], limit["held"]) == (1, [first])
    assert (await evq("queue", "other")).status == 4


async def test_bad_words(evq: Any) -> None:
    for words in (["gpu", "-3"], ["gpu", "many"], ["gpu"], ["a.b", "3"]):
        result = await evq("queue", "limit", *words)
        assert result.status == 2, result.err
        assert "Traceback" not in result.err
