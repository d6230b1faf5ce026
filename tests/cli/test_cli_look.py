"""`show`, `why`, `ls`, `queues`, `workers`, `sql`: what a person sees of tasks and agents."""

from __future__ import annotations

import json
from typing import Any

from evq.cli.tasks.render import iso
from evq.core.bus.connect import Bus
from evq.core.fleet.presence import RunningTask
from evq.core.sdk.author import now

ROW = {
    "task": "k3f9k3f9k3f9",
    "name": "train.py --lr 0.1",
    "queue": "default",
    "priority": 5,
    "state": "running",
    "user": "me",
    "agent": "laptop",
    "enqueued": "2026-01-01T10:00:00",
    "wait_seconds": 1.25,
    "run_seconds": 125.0,
    "exit_code": None,
    "cause": None,
    "progress_done": 60.0,
    "progress_total": 100.0,
    "progress_text": "epoch 6",
    "metrics": "loss=0.1",
}


async def test_show_tells_all(evq: Any, played: Any) -> None:
    evq.repository()
    words = ("--set", "lr=0.1", "--setenv", "API_TOKEN=abc", "--setenv", "N=1", "--tag", "x")
    task = (await evq("enqueue", "--quiet", "train.py", *words)).out.strip()
    await played.runs(task, exit_code=3)
    result = await evq("show")
    assert result.status == 0, result.err
    for words in (
        f"task {task}  train.py lr=0.1\n",
        " ago: exit status 3",
        "+ 1 modified",
        "lr=0.1",
        "API_TOKEN=******** N=1",
        "attempt 1 on laptop",
        "code 0.5s (cached)",
        "python train.py  pid 42",
        f"evq retry {task}",
    ):
        assert words in result.out, result.out
    facts = (await evq("show", task, "--json")).json
    assert (facts["state"], facts["exit_status"], facts["exit_code"]) == ("failed", 3, 3)
    assert facts["attempts"][0]["phases"][0] == {
        "name": "code",
        "seconds": 0.5,
        "cached": True,
        "detail": "",
    }
    assert facts["variables"]["API_TOKEN"] == "********"
    assert facts["metrics"] is None


async def test_show_has_metrics_and_remarks_of_the_projector(
    evq: Any, played: Any, projector: Any
) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    await played.runs(task)
    metric = {"name": "loss", "value": 0.125, "step": 9, "min": 0.1, "max": 2.0, "n": 10}
    remarks = [
        {"kind": "param", "name": "lr", "value": "0.1"},
        {"kind": "tag", "name": "by", "value": "ada"},
    ]
    async with projector({"metrics": [metric], "remarks": remarks}) as asked:
        text = (await evq("show")).out
        facts = (await evq("show", "--json")).json
    assert "loss    0.125     9  0.1    2      10" in text
    assert "logged     lr=0.1" in text and "tags       by=ada" in text
    assert (facts["metrics"], facts["remarks"]) == ([metric], remarks)
    assert asked[0]["params"] == {"task": task}


async def test_why_names_what_is_missing(evq: Any, played: Any, projector: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--", "train")).out.strip()
    assert "no agent serves queue default" in (await evq("why")).out
    await played.appear("other")
    assert "served are: other" in (await evq("why")).out
    await played.appear("default", slots=1, claims=(9,))
    before = [{"task": name, "name": "train", "size": "c0"} for name in ("a", "b")]
    held = [{"queue": "default", "name": "train", "seconds": 90.0}] * 12
    async with projector({"why": [{"position": 3}], "ahead": before, "held": held}):
        result = await evq("why", task)
        facts = (await evq("why", task, "--json")).json
    assert result.out.splitlines()[1:4] == [
        "  2 tasks of queue default go before it",
        "  ✘ it stands at place 3 of queue default",
        "  ✘ laptop: its slot is busy",
    ]
    assert "it starts in about " in result.out
    assert "if tasks take as long as the last 12 of its queue" in result.out
    assert (facts["position"], facts["waits_for"]) == (3, "behind")
    assert [reason["ok"] for reason in facts["reasons"]] == [False, False]
    assert facts["served_by"][0]["lacks"] == ["no slot"]
    assert set(facts["start"]) == {"seconds", "low", "high", "runs"}
    text = (await evq("why", task)).out
    assert "its start is unknown: no projector answers" in text
    await played.claims(task)
    assert "agent laptop is there and has it" in (await evq("why")).out
    await played.bus.presence.remove("laptop")
    assert "agent laptop is silent" in (await evq("why")).out


async def test_ls_asks_for_what_is_wanted(evq: Any, projector: Any) -> None:
    rows = [
        ROW,
        {**ROW, "task": "m0abm0abm0ab", "state": "failed", "cause": "code", "exit_code": 1},
    ]
    async with projector({"tasks": rows}) as asked:
        text = (await evq("ls", "-s", "running", "-s", "failed", "-q", "gpu", "-n", "5")).out
        facts = (await evq("ls", "--mine", "--all", "--json")).json
    lines = text.splitlines()
    assert lines[0].split() == [
        "TASK",
        "STATE",
        "NAME",
        "QUEUE",
        "AGE",
        "WAIT",
        "RUN",
        "AGENT",
        "LAST",
    ]
    assert "train.py --lr 0.1" in lines[1] and "60/100 epoch 6 loss=0.1" in lines[1]
    assert "2m05s" in lines[1] and "exit 1" in lines[2]
    wanted = {"limit": 5, "states": ["running", "failed"], "queue": "gpu", "arrays": True}
    assert asked[0]["params"] == wanted
    assert asked[1]["params"]["user"]
    assert facts == [row | {"quiet_since": None} for row in rows]


async def test_a_quiet_task_is_marked(evq: Any, played: Any, projector: Any) -> None:
    since = now() - 190 * 60_000_000
    running = RunningTask(
        task=ROW["task"], attempt=1, name="train", user="me", slot=0, since=0, quiet=since
    )
    await played.appear("default", claims=(7,), running=(running,))
    async with projector({"tasks": [ROW]}):
        assert "quiet for 3h 60/100 epoch 6" in (await evq("ls")).out
        (facts,) = (await evq("ls", "--json")).json
    assert facts["quiet_since"] == iso(since)


async def test_ls_without_tasks(evq: Any, projector: Any) -> None:
    async with projector({"tasks": []}):
        result = await evq("ls")
        assert (result.out, result.err) == ("", "no task yet\n")
        assert (await evq("ls", "--json")).json == []


async def test_a_long_name_is_whole_in_a_pipe(evq: Any, projector: Any) -> None:
    name = "x" * 300
    async with projector({"tasks": [{**ROW, "name": name}]}):
        assert name in (await evq("ls")).out


async def test_queues(evq: Any, bus: Bus, played: Any, projector: Any) -> None:
    assert "there is no queue yet" in (await evq("queues")).err
    await evq("enqueue", "-q", "gpu", "--quiet", "--", "train")
    await played.appear("default", "gpu")
    facts = (await evq("queues", "--json")).json
    assert [(one["queue"], one["queued"], one["agents"]) for one in facts] == [
        ("default", None, ["laptop"]),
        ("gpu", None, ["laptop"]),
    ]
    async with projector({"queues": [{"queue": "gpu", "queued": 1, "running": 2}]}):
        lines = (await evq("queues")).out.splitlines()
    assert lines[2].split() == ["gpu", "open", "1", "2", "0", "0", "2", "laptop"]


async def test_workers(evq: Any, played: Any) -> None:
    assert "no agent is there" in (await evq("workers")).err
    await played.appear("default", "gpu", claims=(7,))
    lines = (await evq("workers")).out.splitlines()
    assert lines[1].split()[:4] == ["laptop", "laptop", "busy", "1/2"]
    facts = (await evq("workers", "--json")).json
    assert facts[0]["busy"] == 1 and facts[0]["queues"] == ["default", "gpu"]


async def test_an_agent_that_has_paused_is_there_and_takes_nothing(evq: Any, played: Any) -> None:
    reason = "disk: 1GiB free at /data, floor 2GiB"
    await played.appear("default", paused=reason)
    assert f"laptop: {reason}" in (await evq("workers")).out
    assert [(one["state"], one["paused"]) for one in (await evq("workers", "--json")).json] == [
        ("paused", reason)
    ]
    asked = await evq("enqueue", "--no-code", "--", "true")
    assert "agents of queue 'default' have paused" in asked.err and reason in asked.err
    assert f"but it has paused: {reason}" in (await evq("why")).out
    (queue,) = (await evq("queues", "--json")).json
    assert (queue["slots"], queue["agents"]) == (0, ["laptop"])


async def test_sql_in_its_three_forms(evq: Any, projector: Any) -> None:
    rows = [{"name": f"a,{n}", "count": n} for n in range(250)]
    async with projector({"sql": rows, "queues": rows[:1]}) as asked:
        table = (await evq("sql", "select 1")).out.splitlines()
        as_json = (await evq("sql", "select 1", "--json")).json
        as_csv = (await evq("sql", "-", "--csv", "--timeout", "1m", stdin="select 2")).out
        await evq("sql", "@queues", "--param", "a=b")
    assert table[0].split() == ["name", "count"]
    assert table[250].split() == ["a,249", "249"]
    assert len(table) == 251
    assert as_json == rows
    assert as_csv.splitlines()[:2] == ["name,count", '"a,0",0']
    sent = {"text": "select 2", "timeout": 60.0, "params": {}, "only_names": False, "moment": None}
    sent |= {"parquet": False}
    assert asked[2] == sent | {"rows": asked[2]["rows"]}
    assert (asked[3]["name"], asked[3]["params"]) == ("queues", {"a": "b"})


async def test_an_answer_without_rows(evq: Any, projector: Any) -> None:
    async with projector({"sql": []}):
        assert (await evq("sql", "select 1", "--json")).out == "[]\n"


async def test_wrong_questions(evq: Any) -> None:
    assert (await evq("sql", " ")).status == 2
    assert (await evq("sql", "select 1", "--csv", "--json")).status == 2
    assert (await evq("sql", "select 1", "--csv", "--plot")).status == 2
    assert (await evq("sql", "select 1", "--colour")).status == 2
    assert (await evq("sql", "select 1", "colour")).status == 2
    assert (await evq("sql", "select 1", "--param", "a")).status == 2
    assert json.loads((await evq("sql", "select 1", "--json")).err)["error"]["code"] == "E21"


async def test_ls_of_one_parent(evq: Any, projector: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--no-code", "--", "true")).out.strip()
    child = await evq("enqueue", "--quiet", "--no-code", "--", "true", env={"EVQ_TASK_ID": task})
    assert f"parent     {task}" in (await evq("show", child.out.strip())).out
    async with projector({"tasks": [ROW]}) as asked:
        await evq("ls", "--parent", task)
    assert asked[0]["params"] == {"limit": 20, "parent": task, "arrays": True}
