"""`evq enqueue`: what is sent, what is printed, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evq.core.bus.connect import Bus
from evq.core.errors import UsageError
from evq.core.handle import find
from evq.core.spec import Command, Module, Script


async def test_a_script_with_the_code_around_it(evq: Any, bus: Bus) -> None:
    evq.repository()
    result = await evq("enqueue", "train.py", "--set", "lr=3", "--json", "--", "--steps", "9")
    assert result.status == 0, result.err
    facts = result.json
    task = await find(bus.log, facts["task"])
    assert task.spec.entry == Script("train.py", ("--steps", "9"))
    assert task.spec.params == {"lr": "3"}
    assert task.spec.name == "train.py --steps 9 lr=3"
    assert task.spec.code and task.spec.code.changes == {"modified": 1}
    assert facts["code"]["snapshot"] == task.spec.code.snapshot
    assert facts["sent_bytes"] > 0
    for blob in task.spec.code.blobs:
        assert await bus.objects.has(blob)


async def test_the_same_code_is_sent_once(evq: Any) -> None:
    evq.repository()
    first = await evq("enqueue", "train.py", "--json")
    second = await evq("enqueue", "train.py", "--json")
    assert (first.json["sent_bytes"] > 0, second.json["sent_bytes"]) == (True, 0)


async def test_from_a_folder_of_the_repository(evq: Any, bus: Bus) -> None:
    evq.repository()
    evq.cwd = evq.cwd / "deep"
    evq.cwd.mkdir()
    (evq.cwd / "eval.py").write_text("")
    (evq.cwd / "requirements.txt").write_text("")
    result = await evq("enqueue", "eval.py", "-r", "requirements.txt", "-r", "numpy", "--quiet")
    task = await find(bus.log, result.out.strip())
    assert task.spec.code and task.spec.code.folder == "deep"
    assert task.spec.entry == Script("eval.py")
    assert task.spec.requirements == ("deep/requirements.txt", "numpy")


async def test_a_script_outside_of_git_goes_alone(evq: Any, bus: Bus) -> None:
    (evq.cwd / "lone.py").write_text("print(1)\n")
    (evq.cwd / "other.py").write_text("print(2)\n")
    result = await evq("enqueue", "lone.py", "--quiet")
    assert result.err == ""
    task = await find(bus.log, result.out.strip())
    assert task.spec.code and task.spec.code.commit is None


async def test_a_command_outside_of_git_carries_no_code(evq: Any, bus: Bus) -> None:
    result = await evq("enqueue", "--quiet", "--", "echo", "--json")
    task = await find(bus.log, result.out.strip())
    assert (task.spec.entry, task.spec.code) == (Command(("echo", "--json")), None)


async def test_a_command_in_git_carries_it_unless_told_not_to(evq: Any, bus: Bus) -> None:
    evq.repository()
    with_code = await evq("enqueue", "--quiet", "--", "true")
    without = await evq("enqueue", "--quiet", "--no-code", "--", "true")
    assert (await find(bus.log, with_code.out.strip())).spec.code is not None
    assert (await find(bus.log, without.out.strip())).spec.code is None


async def test_a_secret_goes_by_its_name(evq: Any, bus: Bus) -> None:
    words = ("--secret", "HF_TOKEN", "--secret", "KEY=TEAM_KEY", "--quiet", "--", "true")
    task = await find(bus.log, (await evq("enqueue", *words)).out.strip())
    assert task.spec.secrets == ("HF_TOKEN", "KEY=TEAM_KEY")
    refused = await evq("enqueue", "--secret", "HF_TOKEN=hf_canary", "--", "true")
    assert refused.status == 2 and "canary" not in refused.out + refused.err


async def test_a_variable_that_looks_secret_is_warned_of(evq: Any) -> None:
    warned = await evq("enqueue", "--setenv", "HF_TOKEN=abc", "--setenv", "N=1", "--", "true")
    assert warned.status == 0 and warned.err.count("looks like a secret") == 1
    assert "--secret HF_TOKEN" in warned.err and "abc" not in warned.err


async def test_a_module(evq: Any, bus: Bus) -> None:
    (evq.cwd / "pkg").mkdir()
    (evq.cwd / "pkg" / "train.py").write_text("")
    result = await evq("enqueue", "-m", "pkg.train", "--quiet", "--", "-v")
    task = await find(bus.log, result.out.strip())
    assert task.spec.entry == Module("pkg.train", ("-v",))
    assert task.spec.code is not None


async def test_every_option_reaches_the_spec(evq: Any, bus: Bus) -> None:
    words = ["-q", "gpu", "--name", "best", "--tag", "a", "--tag", "b", "--priority", "7"]
    words += ["--env", "none", "--python", "3.12", "--retries", "2", "--timeout", "2h"]
    words += ["--grace", "5s", "--key", "k1", "--setenv", "A=1", "--setenv", "HERE", "--quiet"]
    words += ["--", "true"]
    result = await evq("enqueue", *words, env={"HERE": "yes"})
    spec = (await find(bus.log, result.out.strip())).spec
    assert (spec.queue, spec.name, spec.tags, spec.priority) == ("gpu", "best", ("a", "b"), 7)
    assert (spec.manager, spec.python, spec.retries) == ("none", "3.12", 2)
    assert (spec.timeout, spec.grace, spec.key) == (7200.0, 5.0, "k1")
    assert spec.variables == {"A": "1", "HERE": "yes"}


async def test_the_queue_of_the_project(evq: Any, bus: Bus) -> None:
    (evq.cwd / "pyproject.toml").write_text('[tool.evq]\nqueue = "vision"\n')
    result = await evq("enqueue", "--quiet", "--", "true")
    assert (await find(bus.log, result.out.strip())).spec.queue == "vision"


async def test_a_key_gives_the_same_task_again(evq: Any) -> None:
    first = await evq("enqueue", "--key", "once", "--json", "--", "true")
    second = await evq("enqueue", "--key", "once", "--json", "--", "true")
    assert (first.json["new"], second.json["new"]) == (True, False)
    assert first.json["task"] == second.json["task"]


async def test_stdout_is_the_id_and_notes_go_to_stderr(evq: Any, played: Any) -> None:
    result = await evq("enqueue", "-q", "defalt", "--", "true")
    task = result.out.strip()
    assert result.out == f"{task}\n"
    assert "warning: no agent serves queue 'defalt', so the task waits\n" in result.err
    assert f"evq logs {task} -f" in result.err
    await played.appear("default")
    again = await evq("enqueue", "-q", "defalt", "--", "true")
    assert "did you mean 'default'?" in again.err
    served = await evq("enqueue", "--", "true")
    assert "warning" not in served.err


async def test_a_dry_run_sends_nothing(evq: Any, bus: Bus) -> None:
    evq.repository()
    result = await evq("enqueue", "train.py", "--dry-run")
    assert result.status == 0
    assert result.out.startswith("would enqueue train.py on queue default\n")
    assert "1 modified" in result.out
    assert (await evq("enqueue", "train.py", "--dry-run", "--json")).json["task"] is None
    assert await bus.log.last_seq() == 0


async def test_the_code_of_a_remote_is_named_and_not_sent(evq: Any, bus: Bus) -> None:
    url = "https://host.example/team/project.git"
    words = ("enqueue", "--env", "none", "--repo", url, "--branch", "topic", "no/such.py")
    result = await evq(*words, "--json")
    assert result.status == 0, result.err
    assert result.json["repo"] == {"url": url, "branch": "topic"}
    assert (result.json["code"], result.json["sent_bytes"]) == (None, None)
    assert f"{url}, branch topic" in (await evq("show", result.json["task"])).out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--branch", "x", "train.py"), "--branch means nothing without --repo"),
        (("--no-lfs", "train.py"), "--no-lfs means nothing without --repo"),
        (("--repo", "file:///etc", "x.py"), "not an address"),
        (("--repo", "--upload-pack=x", "x.py"), "not an address"),
        (("--repo", "https://me:s3cret@host/x", "x.py"), "has a login in it"),
        (("--repo", "https://host/x", "--branch", "a b", "x.py"), "cannot be a branch"),
        (("--repo", "https://h/x", "--branch", "a", "--commit", "b", "x.py"), "a commit are named"),
        (("--repo", "https://host/x", "--include", "y", "x.py"), "do not go together"),
        (("-c", "print(1)", "train.py"), "only evq's own options"),
        (("train.ipynb", "--", "--lr"), "takes no arguments"),
    ],
)
async def test_words_about_code_that_mean_nothing(
    evq: Any, bus: Bus, words: tuple[str, ...], what: str
) -> None:
    evq.repository()
    (evq.cwd / "train.ipynb").write_text("{}")
    result = await evq("enqueue", *words)
    assert result.status == 2 and what in result.err
    assert "s3cret" not in result.err and "fix:" in result.err
    assert await bus.log.last_seq() == 0


async def test_code_on_the_command_line(evq: Any) -> None:
    result = await evq("enqueue", "--env", "none", "-c", "print(1)", "--json", "--", "a")
    assert result.json["entry"] == {"kind": "inline", "text": "print(1)", "args": ["a"]}
    assert result.json["command"] == "-c 'print(1)' a"


async def test_a_new_server_is_prepared(tmp_path: Any, evq: Any, own_nats_server: Any) -> None:
    evq.repository()
    evq.env["EVQ_SERVER"] = own_nats_server.url
    result = await evq("enqueue", "train.py", "--json")
    assert result.status == 0, result.err
    assert result.json["seq"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is nothing to run"),
        (["trian.py"], "there is no file trian.py here; did you mean 'train.py'?"),
        (["sh", "train.py"], "fix: evq enqueue -- sh train.py"),
        (["folder"], "fix: evq enqueue -m folder"),
        (["train.py", "--lr", "3"], "fix: evq enqueue train.py -- --lr 3"),
        (["train.py", "3"], "fix: evq enqueue train.py -- 3"),
        (["-m", "pkg", "3"], "fix: evq enqueue -m pkg -- 3"),
        (["--no-code", "train.py"], "train.py would be missing without the code"),
        (["--set", "lr", "train.py"], "--set lr sets nothing"),
        (["--setenv", "NOT_THERE", "train.py"], "there is no such variable here"),
        (["--timeout", "soon", "train.py"], "'soon' is not a duration"),
        (["--priority", "11", "train.py"], "priority 11 is out of range"),
        (["-q", "a.b", "train.py"], "'a.b' cannot be the name of a queue"),
    ],
)
async def test_what_is_wrong_is_said_with_a_way_out(
    evq: Any, bus: Bus, words: list[str], said: str
) -> None:
    (evq.cwd / "train.py").write_text("")
    (evq.cwd / "folder").mkdir()
    result = await evq("enqueue", *words)
    assert result.status == 2, result.err
    assert result.err.startswith("error[E01]: ")
    assert said in result.err
    assert await bus.log.last_seq() == 0


async def test_a_secret_file_is_refused(evq: Any) -> None:
    evq.repository()
    (evq.cwd / ".env").write_text("TOKEN=1\n")
    result = await evq("enqueue", "train.py", "--json")
    assert result.status == 2
    assert json.loads(result.err)["error"]["code"] == "E10"


async def test_at_is_the_last_task_enqueued_here(evq: Any) -> None:
    ids = [(await evq("enqueue", "--quiet", "--", "true")).out.strip() for _ in range(3)]
    for selector, task in (("@", ids[2]), ("@~1", ids[1]), ("@~2", ids[0]), (ids[0][:8], ids[0])):
        assert (await evq("show", selector, "--json")).json["task"] == task
    beyond = await evq("show", "@~3")
    assert (beyond.status, beyond.err.partition(":")[0]) == (4, "error[E03]")
    assert (await evq("show", "@x")).status == 2


def test_a_long_command_makes_a_short_name() -> None:
    from evq.cli.submit.request import pairs
    from evq.core.sdk.request import NAME_LENGTH, default_name

    assert len(default_name(Command(("x" * 100,)), {})) == NAME_LENGTH
    assert default_name(Script("a/b/train.py", ("--x",)), {}) == "train.py --x"
    assert pairs(["a=b=c"], "--set") == {"a": "b=c"}
    with pytest.raises(UsageError):
        pairs(["=b"], "--set")


async def test_packages_are_asked_for_by_index_constraint_and_backend(evq: Any, bus: Bus) -> None:
    evq.repository()
    (evq.cwd / "sub").mkdir()
    (evq.cwd / "sub" / "limits.txt").write_text("six<2\n")
    address = "https://ada:${TOKEN}@host/simple"
    words = ["--env", "pip", "--index", address, "--constraint", "sub/limits.txt"]
    words += ["--torch-backend", "cu126", "--secret", "TOKEN", "--quiet", "train.py"]
    spec = (await find(bus.log, (await evq("enqueue", *words)).out.strip())).spec
    assert (spec.manager, spec.indexes, spec.torch_backend) == ("pip", (address,), "cu126")
    assert spec.constraints == ("sub/limits.txt",)
    other = await evq("clone", "@", "--env", "uv", "--index", "https://host/other", "--quiet")
    spec = (await find(bus.log, other.out.strip())).spec
    assert (spec.manager, spec.indexes) == ("uv", ("https://host/other",))


async def test_what_packages_are_asked_for_by_is_checked(evq: Any) -> None:
    refused = await evq("enqueue", "--index", "https://ada:canary@host/simple", "--", "true")
    assert refused.status == 2 and "canary" not in refused.out + refused.err
    assert "--secret NAME" in refused.err
    missing = await evq("enqueue", "--constraint", "limits.txt", "--", "true")
    assert missing.status == 2 and "there is no file limits.txt here" in missing.err
