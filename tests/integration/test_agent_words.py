"""What tasks say on their channel: metrics and progress, from Python and from elsewhere."""

import json
import sys

RAW = "import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(os.environ['EVQ_SOCKET']); "


async def test_import_evq_works_without_evq(served, plain_python):
    code = "import evq, sys; evq.log({'loss': 0.5, 'n': True}, step=7); print(evq.__file__)"
    task = await served.run(plain_python, "-c", code)
    assert await served.points(task.id) == [("loss", 7, 0.5), ("n", 7, 1.0)]
    (file,) = await served.lines(task.id)
    assert file.endswith("/sdk/evq.py") and file.startswith(str(served.agent.folder))


async def test_an_installed_evq_is_not_hidden(served):
    code = "import evq, evq.core.spec; evq.log({'loss': 1}); print(evq.__file__)"
    task = await served.run(sys.executable, "-c", code)
    assert await served.lines(task.id) == [sys.modules["evq"].__file__]
    assert await served.points(task.id) == [("loss", None, 1.0)]


async def test_parameters(served, plain_python):
    code = (
        "import evq; print(evq.params['name'], evq.params.number('lr', 0.1),"
        " evq.params.number('steps', 3), evq.params.number('absent', 2.5))"
    )
    params = {"name": "ä b", "lr": "1e-3", "steps": "12"}
    task = await served.run(plain_python, "-c", code, params=params)
    assert await served.lines(task.id) == ["ä b 0.001 12 2.5"]


async def test_a_forked_child_has_a_line_of_its_own(served, plain_python):
    code = """
import evq, os
evq.log({"parent": 1})
if os.fork() == 0:
    evq.log({"child": 2})
    os._exit(0)
os.wait()
evq.log({"parent": 3})
"""
    task = await served.run(plain_python, "-c", code)
    points = {name: [] for name in ("parent", "child")}
    for name, _, value in await served.points(task.id):
        points[name].append(value)
    assert points == {"parent": [1.0, 3.0], "child": [2.0]}


async def test_values_that_json_has_no_word_for(served, plain_python):
    code = "import evq; evq.log({'a': float('nan'), 'b': float('inf'), 'c': -float('inf')})"
    task = await served.run(plain_python, "-c", code)
    said = await served.points(task.id)
    assert said == [("a", None, "nan"), ("b", None, "inf"), ("c", None, "-inf")]


async def test_a_line_of_json_from_anybody(served, plain_python):
    words = b'{"metrics": {"loss": 0.25}, "step": 3, "later": [1]}\n\n{"metrics": {"loss": 1}}'
    task = await served.run(plain_python, "-ISc", f"{RAW} s.sendall({words!r} + b'\\n')")
    assert await served.points(task.id) == [("loss", 3, 0.25), ("loss", None, 1.0)]


async def test_what_is_not_understood_is_told_and_passed_over(served, plain_python):
    words = b'{"metrics": {"loss": "low"}}\nnonsense\n\xff\n{"metrics": {"loss": 2}}\n'
    task = await served.run(plain_python, "-ISc", f"{RAW} s.sendall({words!r})")
    complaints = await served.lines(task.id, "a")
    assert len(complaints) == 3
    assert all("EVQ_SOCKET was not understood" in line for line in complaints)
    assert await served.points(task.id) == [("loss", None, 2.0)]


async def test_a_line_without_an_end_is_cut_off(served, plain_python):
    code = f"""
{RAW}
try:
    while True:
        s.sendall(b"x" * 65536)
except OSError:
    print("cut off")
"""
    task = await served.run(plain_python, "-ISc", code)
    assert await served.lines(task.id, "o") == ["cut off"]
    (complaint,) = await served.lines(task.id, "a")
    assert "longer than 64 KiB" in complaint


async def test_the_last_words_arrive(served, plain_python):
    code = """
import evq, os
for step in range(5000):
    evq.log({"loss": step}, step)
evq.progress(1, 2, "almost")
print("over", flush=True)
os._exit(3)
"""
    task = await served.run(plain_python, "-c", code)
    points = await served.points(task.id)
    assert points == [("loss", step, float(step)) for step in range(5000)]
    last = (await served.progress(task.id))[-1]
    assert (last.done, last.total, last.text) == (1.0, 2.0, "almost")
    assert last.claim == task.attempts[0].claim and await served.lines(task.id) == ["over"]


async def test_progress_without_a_total(served, plain_python):
    task = await served.run(plain_python, "-c", "import evq; evq.progress(3)")
    (said,) = await served.progress(task.id)
    assert (said.done, said.total, said.text) == (3.0, None, "")


async def test_the_next_task_of_a_slot_does_not_speak_for_the_one_before(served, plain_python):
    code = "import evq; evq.log({'number': %d})"
    for number in range(4):
        task = await served.run(plain_python, "-c", code % number)
        assert await served.points(task.id) == [("number", None, float(number))]


async def test_variables_of_a_task(served):
    variables = {"EVQ_NAME": "mine", "PYTHONUNBUFFERED": "0", "WITH": "a = b\nc"}
    task = await served.run("env", "-0", variables=variables, name="named", params={"a": "1"})
    text = "\n".join(await served.lines(task.id)).replace("\ufffd", "\0")
    seen = dict(line.split("=", 1) for line in text.split("\0") if "=" in line)
    assert {name: seen[name] for name in variables} == variables
    assert seen["EVQ_TASK_ID"] == task.id and seen["EVQ_ATTEMPT"] == "1"
    assert seen["EVQ_QUEUE"] == served.name and seen["EVQ_AGENT"] == served.agent.name
    assert json.loads(seen["EVQ_PARAMS"]) == {"a": 1}


async def test_the_agent_keeps_its_secrets(served):
    # Neither in the task's own variables nor in those of the process above it.
    task = await served.run("sh", "-c", "env; tr '\\0' '\\n' < /proc/$PPID/environ")
    lines = await served.lines(task.id)
    assert any(line.startswith("PATH=") for line in lines)
    hidden = ("EVQ_LOGIN=", "EVQ_TOKEN=", "NATS_", "NOTIFY_SOCKET=")
    assert not [line for line in lines if line.startswith(hidden) or "secret-" in line]


async def test_what_needs_the_package_says_so(served, plain_python):
    code = "import evq\ntry:\n    evq.connect\nexcept AttributeError as error:\n    print(error)"
    task = await served.run(plain_python, "-c", code)
    (said,) = await served.lines(task.id)
    assert said.startswith("evq.connect is not known in this task's environment")
    assert "--env agent" in said
