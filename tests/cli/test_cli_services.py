"""`evq schedule`, `evq trigger`, `evq alert`: what people say to services, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evq.core.decide import Finish
from evq.core.events import Cause, Outcome
from evq.core.sdk.client import Client
from evq.core.sdk.services import services

NIGHTLY = ("schedule", "add", "nightly", "--cron", "0 3 * * *", "--tz", "Europe/Berlin")


async def test_a_schedule_is_made_shown_and_removed(evq: Any) -> None:
    evq.repository()
    made = await evq(*NIGHTLY, "--", "train.py", "--", "--lr", "0.1")
    assert made.out.startswith("schedule nightly  train.py --lr 0.1  0 3 * * * Europe/Berlin\n")
    assert " 03:00 CE" in made.out.splitlines()[1]
    assert "no agent serves queue 'services'" in made.err
    (listed,) = (await evq("schedule", "ls", "--json")).json
    assert (listed["name"], listed["command"], listed["runs"]) == (
        "nightly",
        "train.py --lr 0.1",
        0,
    )
    assert listed["when"] == {
        "when": "cron",
        "expression": "0 3 * * *",
        "zone": "Europe/Berlin",
    }
    assert (await evq("schedule", "next", "nightly", "-n", "3")).out.count(" 03:00 CE") == 3
    again = await evq(*NIGHTLY, "--", "train.py")
    assert again.status == 5 and "there is a schedule nightly already" in again.err
    changed = await evq(*NIGHTLY, "--replace", "--overlap", "queue", "--", "train.py")
    assert changed.status == 0
    await evq("schedule", "pause", "nightly", "--reason", "holidays")
    shown = (await evq("schedule", "show", "nightly", "--json")).json
    assert (shown["paused"], shown["next"], shown["overlap"]) == ("holidays", None, "queue")
    assert [one["words"].split(":")[0] for one in shown["decisions"]] == [
        "is defined",
        "is defined",
        "is paused",
    ]
    assert "next 2" in (await evq("schedule", "resume", "nightly")).out
    await evq("schedule", "remove", "nightly")
    gone = await evq("schedule", "show", "nightly")
    assert gone.status == 4 and "there is no schedule nightly" in gone.err


async def test_the_code_is_sent_when_the_schedule_is_made(evq: Any, jetstream_bus: Any) -> None:
    evq.repository()
    await evq(*NIGHTLY, "--", "train.py")
    from evq.services.schedule.controller import load_journal

    definition = (await load_journal(Client(jetstream_bus), "nightly")).state.definition
    assert definition and definition.spec.code and definition.spec.code.changes
    assert all([await jetstream_bus.objects.has(name) for name in definition.spec.code.blobs])


async def test_an_array_is_scheduled_and_triggered(evq: Any) -> None:
    words = ("--", "--array", "0-99%8", "--", "train", "--seed", "{index}")
    made = await evq(*NIGHTLY, "--overlap", "skip", *words)
    assert made.out.startswith("schedule nightly  train --seed {index}  as array 0-99%8  0 3 * *")
    (listed,) = (await evq("schedule", "ls", "--json")).json
    assert (listed["command"], listed["array"]) == ("train --seed {index}", "0-99%8")
    assert "  as array 0-99%8" in (await evq("schedule", "show", "nightly")).out
    many = ("--", "--array", "1-300", "--", "true")
    waits = await evq("schedule", "add", "line", "--every", "2h", "--overlap", "queue", *many)
    assert waits.status == 2 and "cannot wait for an array of 300" in waits.err
    made = await evq("trigger", "add", "seeds", "--on", "completed", *words)
    assert made.out == "trigger seeds  completed: enqueue train --seed {index} as array 0-99%8\n"


async def test_a_task_is_scheduled_again_with_changes(evq: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--set", "lr=0.1", "--", "train")).out.strip()
    words = ("schedule", "add", "again", "--every", "2h", "--clone", task, "--json")
    made = (await evq(*words, "--", "--set", "lr=0.2", "-q", "gpu")).json
    assert (made["command"], made["queue"]) == ("train", "gpu")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--", "--", "true"], "needs one of --cron, --every and --at"),
        (["--cron", "0 3 * * *", "--every", "2h", "--", "--", "true"], "are given"),
        (["--cron", "0 3", "--", "--", "true"], "is no cron expression"),
        (["--cron", "0 3 * * *", "--tz", "Mars", "--", "--", "true"], "no time zone 'Mars'"),
        (["--at", "2001-01-01 00:00", "--", "--", "true"], "has passed already"),
        (["--at", "soon", "--", "--", "true"], "is no time"),
        (["--every", "2h", "--", "no-such.py"], "there is no file no-such.py"),
        (["--every", "2h", "--", "--key", "a", "--", "true"], "--key is for one task"),
        (["--every", "2h", "--", "--no-such-option", "--", "true"], "no-such-option"),
        (["--every", "2h"], "there is nothing to run"),
        (["--every", "2h", "--", "--array", "9-0", "--", "true"], "--array 9-0 is no array"),
        (["--every", "2h", "--", "--array", "0-1", "--nodes", "2", "--", "true"], "several nodes"),
    ],
)
async def test_a_schedule_that_makes_no_sense_is_refused(
    evq: Any, words: list[str], said: str
) -> None:
    result = await evq("schedule", "add", "n", *words)
    assert result.status == 2 and said in result.err and "Traceback" not in result.err


async def test_triggers_are_made_and_tried_on_the_past(evq: Any) -> None:
    task = (await evq("enqueue", "--quiet", "--project", "vision", "--", "train")).out.strip()
    await evq("abort", task, "--reason", "wrong data")
    made = await evq(
        *("trigger", "add", "gone", "--on", "aborted", "--project", "vision"),
        *("--webhook", "http://localhost:9/hook"),
    )
    assert made.out == ("trigger gone  aborted, project vision: call http://localhost:9/hook\n")
    tried = (await evq("trigger", "test", "gone", "--json")).json
    assert [one["task"] for one in tried] == [task] and "wrong data" in tried[0]["words"]
    words = ("--on", "failed", "--webhook", "http://localhost:9/", "--secret", "HOOK")
    signed = await evq("trigger", "add", "signed", *words)
    assert signed.out == (
        "trigger signed  failed: call http://localhost:9/, signed with the secret HOOK\n"
    )
    await evq("trigger", "remove", "signed")
    await evq("trigger", "add", "other", "--on", "failed", "--do", "echo $EVQ_TRIGGER_TASK")
    assert (await evq("trigger", "test", "other", "--json")).json == []
    listed = (await evq("trigger", "ls", "--json")).json
    assert [(one["name"], one["matches"]) for one in listed] == [("gone", 0), ("other", 0)]
    await evq("trigger", "pause", "gone", "--reason", "too loud")
    assert "too loud" in (await evq("trigger", "show", "gone")).out
    await evq("trigger", "resume", "gone")
    await evq("trigger", "remove", "gone")
    assert (await evq("trigger", "show", "gone")).status == 4


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--on", "fails", "--do", "true"], 2, "nothing is called 'fails'"),
        (["--do", "true"], 2, "needs one of --on, --metric and --queue-longer"),
        (["--on", "failed"], 2, "a trigger does one thing"),
        (["--on", "failed", "--do", "true", "--webhook", "http://h/"], 2, "does one thing"),
        (["--on", "failed", "--webhook", "https://me:secret@h/"], 2, "--webhook"),
        (["--on", "failed", "--alert", "nobody"], 4, "there is no alert nobody"),
        (["--on", "failed", "--do", "true", "--secret", "HOOK"], 2, "means nothing here"),
        (["--on", "failed", "--webhook", "http://h/", "--secret", "hook"], 2, "named by --secret"),
        (["--on", "failed", "--webhook", "http://h/", "--secret", "A=B"], 2, "means nothing here"),
        (["--metric", "loss", "--do", "true"], 2, "no line that a metric could cross"),
        (["--queue-longer", "gpu", "--do", "true"], 2, "which queue is too long when"),
        (["--on", "failed", "--for", "10m", "--do", "true"], 2, "without --queue-longer"),
    ],
)
async def test_a_trigger_that_makes_no_sense_is_refused(
    evq: Any, words: list[str], status: int, said: str
) -> None:
    result = await evq("trigger", "add", "n", *words)
    assert result.status == status and said in result.err and "Traceback" not in result.err
    assert "secret@" not in result.err


async def test_an_alert_stores_the_name_of_its_address_alone(evq: Any, jetstream_bus: Any) -> None:
    made = await evq("alert", "add", "team", "--secret", "TEAM", "--digest", "3/1m")
    assert made.out == "alert team  to the address in the secret TEAM\n"
    (listed,) = (await evq("alert", "ls", "--json")).json
    assert (listed["secret"], listed["most"], listed["seconds"]) == ("TEAM", 3, 60.0)
    again = await evq("alert", "add", "team", "--secret", "OTHER")
    assert again.status == 5 and "there is an alert team already" in again.err
    value = await evq("alert", "add", "two", "--secret", "slack://a-token/of/somebody")
    assert value.status == 2 and "a-token" not in value.err
    assert (await evq("alert", "add", "two", "--secret", "A", "--digest", "many")).status == 2


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("trigger", ("--on", "failed", "--webhook", "http://localhost:9/", "--secret", "HOOK")),
        ("alert", ("--secret", "HOOK")),
    ],
)
@pytest.mark.parametrize("lacks", [True, False])
async def test_that_an_agent_lacks_the_secret_is_said_at_once(
    evq: Any, played: Any, jetstream_bus: Any, until: Any, kind: str, words: Any, lacks: bool
) -> None:
    client = Client(jetstream_bus)
    evidence = "[E33] this agent has no secret HOOK (looked in: variables EVQ_SECRET_*)"
    await played.appear("services", client=True)
    async with evq.start(kind, "add", "team", *words) as process:
        [controller] = await until(lambda: services(client, kind))
        task = controller.task.id
        await played.claims(task)
        if lacks:
            cause = Cause.ENVIRONMENT
            finish = Finish(
                played.holder, Outcome.FAILED, cause=cause, evidence=evidence, final=True
            )
            await played.does(task, finish)
        else:
            await played.starts(task)
        _, err = await process.communicate()
    assert process.returncode == 0
    said = f"its task {task} failed: {evidence}\n  mend that, and evq retry {task}\n"
    assert (said in err.decode(), "warning" in err.decode()) == (lacks, lacks)


async def test_the_examples_of_the_docs_are_accepted(evq: Any) -> None:
    """Each line `evq schedule add` and `evq trigger add` of the pages, as it stands there."""
    import shlex

    evq.repository()
    await evq("enqueue", "--quiet", "--set", "lr=0.1", "--", "train")
    await evq("alert", "add", "team", "--secret", "TEAM")
    docs = Path(__file__).parents[2] / "docs"
    lines = [
        line
        for page in ("schedules.md", "triggers.md")
        for line in (docs / page).read_text().splitlines()
        if line.startswith(("evq schedule add", "evq trigger add"))
    ]
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        result = await evq(*words)
        assert result.status == 0, (line, result.err)
