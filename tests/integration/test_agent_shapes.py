"""What a task may be besides a script: a notebook, code on the command line, code of a remote."""

import json
import zlib

import pytest
from disk import git, write
from githost import HttpHost

from evq.core.events import Cause, Outcome, Phase
from evq.core.sdk.snapshot import take
from evq.core.spec import Inline, Notebook, Repo, Script


async def test_code_on_the_command_line(served):
    entry = Inline("import sys, evq\nprint(sys.argv[1:], evq.params)", ("a b",))
    task = await served.run(entry=entry, params={"lr": "0.1"})
    assert task.state.outcome is Outcome.COMPLETED, await served.lines(task.id)
    assert await served.lines(task.id, "o") == ["['a b'] {'lr': 0.1}"]


def cell(source, *tags):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"c{zlib.crc32(source.encode())}",
        "metadata": {"tags": list(tags)},
        "outputs": [],
        "source": source,
    }


def notebook(*cells):
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


async def send(served, folder, tmp_path):
    with take(folder, None, include_folder=True) as snapshot:
        for blob in snapshot.blobs:
            snapshot.write_bundle(blob, tmp_path / blob.name)
            await served.client.bus.objects.put(blob.name, tmp_path / blob.name)
    return snapshot.code


async def stored(served, task, tmp_path):
    (name,) = (phase.detail for phase in task.attempts[-1].phases if phase.name == "notebook")
    await served.client.bus.objects.get(name, tmp_path / "fetched.ipynb")
    return json.loads((tmp_path / "fetched.ipynb").read_text())["cells"]


async def test_a_notebook_runs_in_its_environment_and_keeps_its_outputs(served, tmp_path):
    cells = (
        cell("lr = 0.1\nname = 'x'", "parameters"),
        cell("import evq, iniconfig\nprint('lr', lr, name)\nevq.log({'lr': lr})"),
        cell("from data import WORD\nWORD * 2"),
    )
    folder = tmp_path / "nb"
    write(folder / "train.ipynb", notebook(*cells))
    write(folder / "data.py", "WORD = 'ab'\n")
    write(folder / "requirements.txt", "iniconfig==2.0.0\n")
    code = await send(served, folder, tmp_path)

    params = {"lr": "0.5", "name": "better"}
    entry = Notebook("train.ipynb")
    task = await served.run(entry=entry, code=code, params=params, manager="auto")
    assert task.state.outcome is Outcome.COMPLETED, await served.lines(task.id)
    assert "lr 0.5 better" in await served.lines(task.id, "o")
    assert await served.points(task.id) == [("lr", None, 0.5)]
    done = await stored(served, task, tmp_path)
    assert [c["metadata"]["tags"] for c in done[:2]] == [["parameters"], ["injected-parameters"]]
    assert done[3]["outputs"][0]["data"]["text/plain"] == ["'abab'"]
    phases = [phase.name for phase in task.attempts[0].phases]
    assert phases == ["code", "environment", "notebook"]
    assert {p.name for p in task.attempts[0].environment.packages} == {"iniconfig"}


async def test_a_notebook_that_fails_keeps_what_came_before(served, tmp_path):
    folder = tmp_path / "nb"
    write(folder / "train.ipynb", notebook(cell("print('so far')"), cell("1 / 0"), cell("3")))
    code = await send(served, folder, tmp_path)
    task = await served.run(entry=Notebook("train.ipynb"), code=code, manager="auto")
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.CODE)
    assert "ZeroDivisionError" in task.state.evidence
    first, second, third = await stored(served, task, tmp_path)
    assert first["outputs"][0]["text"] == ["so far\n"]
    assert second["outputs"][0]["ename"] == "ZeroDivisionError" and third["outputs"] == []

    missing = await served.run(entry=Notebook("nowhere.ipynb"), code=code, manager="auto")
    assert (missing.state.outcome, missing.state.cause) == (Outcome.FAILED, Cause.SOURCE)


# --- remotes -----------------------------------------------------------------------------------


@pytest.fixture
def remote(tmp_path):
    """A host with one repository, and the author's work tree of it."""
    (tmp_path / "root").mkdir()
    git(tmp_path / "root", "init", "-q", "--bare", "-b", "main", "project.git")
    git(tmp_path, "clone", "-q", str(tmp_path / "root" / "project.git"), "author")
    host = HttpHost(tmp_path / "root")
    yield tmp_path / "author", f"{host.url}/project.git"
    host.close()


def push(author, text):
    write(author / "train.py", text)
    git(author, "add", "-A")
    git(author, "commit", "-qm", "x")
    git(author, "push", "-q", "origin", "HEAD:main")
    return git(author, "rev-parse", "HEAD")


async def test_the_commit_that_ran_is_written_down_and_a_retry_runs_it_again(served, remote):
    author, url = remote
    first = push(author, "import os; print(os.environ['EVQ_COMMIT']); raise SystemExit(1)\n")
    task = await served.run(entry=Script("train.py"), repo=Repo(url, branch="main"))
    assert task.attempts[0].commit == first and await served.lines(task.id, "o") == [first]
    ends = [e.event for e in await served.envelopes(task.id) if isinstance(e.event, Phase)]
    assert [event.commit for event in ends if event.name == "code"] == [None, first]

    second = push(author, "print('moved on')\n")
    await served.client.retry(task.id, "again")
    again = await served.ended(task.id, times=2)
    assert [attempt.commit for attempt in again.attempts] == [first, first]
    assert again.attempts[1].phases[0].cached
    fresh = await served.run(entry=Script("train.py"), repo=Repo(url))
    assert fresh.attempts[0].commit == second
    assert fresh.state.outcome is Outcome.COMPLETED


async def test_a_remote_that_is_not_there_fails_the_task_by_its_cause(served):
    task = await served.run(entry=Script("train.py"), repo=Repo("http://127.0.0.1:1/x.git"))
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.SOURCE)
    assert "out of reach" in task.state.evidence


async def test_the_agents_token_opens_the_remote_and_is_nowhere(
    queue, start_agent, monkeypatch, tmp_path
):
    token = "t0ken-4f9c1d7e2b"
    (tmp_path / "root").mkdir()
    git(tmp_path / "root", "init", "-q", "--bare", "-b", "main", "project.git")
    git(tmp_path, "clone", "-q", str(tmp_path / "root" / "project.git"), "author")
    cells = (
        cell("import os\nprint(sorted(os.environ))"),
        cell(f"print('{token[:8]}' + '{token[8:]}')"),
    )
    write(tmp_path / "author" / "look.ipynb", notebook(*cells))
    push(tmp_path / "author", "")
    host = HttpHost(tmp_path / "root", ("user", token))
    monkeypatch.setenv(host.token_name, f"user:{token}")
    try:
        start_agent([queue]).ready()
        repo = Repo(f"{host.url}/project.git")
        task = await queue.run(entry=Notebook("look.ipynb"), repo=repo, manager="auto")
    finally:
        host.close()
    assert task.state.outcome is Outcome.COMPLETED, await queue.lines(task.id)
    assert f"user:{token}" in host.heard
    said = "\n".join(await queue.lines(task.id))
    assert "'EVQ_TASK_ID'" in said and "'EVQ_GIT_TOKEN" not in said
    kept = json.dumps(await stored(queue, task, tmp_path))
    events = repr(await queue.envelopes(task.id))
    assert not [text for text in (said, kept, events) if token in text]
