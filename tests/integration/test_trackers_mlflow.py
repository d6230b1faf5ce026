"""A stock MLflow client in a task: what it logs are the task's own metrics and remarks."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from evq.agent.trackers.mlflow.visit import LARGEST_BODY
from evq.core.events import Remarks, Started
from evq.core.spec import Script

CLIENT = """
import mlflow
mlflow.set_experiment("exp")
with mlflow.start_run(run_name="hello"):
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"a": 1, "b": "x"})
    mlflow.log_metric("loss", 0.5, step=3)
    mlflow.log_metrics({"nan": float("nan"), "inf": float("-inf")}, step=4)
    mlflow.set_tag("k", "v")
    mlflow.log_metric("loss", 0.25, step=4, synchronous=False)
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("loss", 1)
"""
BACK = """
import mlflow
with mlflow.start_run() as run:
    mlflow.log_param("lr", 0.1)
    for step in range(3):
        mlflow.log_metric("loss", step / 2, step=step)
run = mlflow.get_run(run.info.run_id)
print(f"{run.info.status} {run.data.params} {run.data.metrics}")
history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
print([(point.step, point.value) for point in history])
print([one.info.run_id == run.info.run_id for one in mlflow.search_runs(output_format="list")])
"""
FILES = """
import mlflow, os
with mlflow.start_run() as run:
    mlflow.log_text("deep", "a/b/c.txt")
    mlflow.log_dict({"x": 1}, "x.json")
print(sorted(one.path for one in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)))
print(mlflow.artifacts.load_text(run.info.artifact_uri + "/a/b/c.txt"))
print(open(f"mlartifacts/{run.info.run_id}/a/b/c.txt").read())
"""
REQUEST = """
import json, os, urllib.error, urllib.request
def ask(path, body=None, token=os.environ["MLFLOW_TRACKING_TOKEN"], method=None):
    url = os.environ["MLFLOW_TRACKING_URI"] + path
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Authorization": "Bearer " + token}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=20).read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"
API = "/api/2.0/mlflow/"
RUN = os.environ["MLFLOW_RUN_ID"]
"""


async def remarks(queue, task):
    """(params, tags) of all that a task said."""
    params, tags = {}, {}
    for record in await queue.records(task):
        if isinstance(record, Remarks):
            params |= record.params
            tags |= record.tags
    return params, tags


async def test_what_a_stock_client_logs(served):
    task = await served.run(sys.executable, "-c", CLIENT)
    assert await served.lines(task.id) == []
    assert await served.points(task.id) == [
        ("loss", 3, 0.5),
        ("nan", 4, "nan"),
        ("inf", 4, "-inf"),
        ("loss", 4, 0.25),
        ("child/loss", 0, 1.0),
    ]
    told = {"lr": "0.1", "a": "1", "b": "x"}, {"k": "v", "mlflow.runName": "hello"}
    assert await remarks(served, task.id) == told


async def test_the_example_in_an_environment_of_its_own(served, send):
    example = Path(__file__).parents[2] / "examples/trackers.py"
    code = await send({"trackers.py": example.read_text()})
    entry = Script("trackers.py", ("--lr", "0.5"))
    id = await served.enqueue(entry=entry, code=code, manager="auto")
    await served.event(id, Started)
    task = await served.ended(id)
    assert task.name_of_state == "completed", await served.lines(task.id)
    points = await served.points(task.id)
    logged = {name: [step for one, step, _ in points if one == name] for name, *_ in points}
    assert logged == {"loss": [*range(100)], "loss/log10": [*range(100)]}
    assert (await remarks(served, task.id))[0] == {"optimizer": "sgd", "decay": "0.5"}


async def test_a_client_that_hangs_up_leaves_no_file(served):
    code = r"""
import socket, urllib.parse
where = urllib.parse.urlsplit(os.environ["MLFLOW_TRACKING_URI"])
PATH = "/api/2.0/mlflow-artifacts/artifacts/x"
with socket.create_connection((where.hostname, where.port)) as one:
    token = os.environ["MLFLOW_TRACKING_TOKEN"]
    head = f"PUT {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    one.sendall(head.encode() + b"Content-Length: 9\r\n\r\n1234")
    while not os.path.isdir("mlartifacts") or not os.listdir("mlartifacts"):
        pass
while os.listdir("mlartifacts"):
    pass
print(ask(PATH)[:3])
"""
    task = await served.run(sys.executable, "-c", REQUEST + code)
    assert await served.lines(task.id) == ["404"]


async def test_a_client_reads_what_it_said(served):
    task = await served.run(sys.executable, "-c", BACK)
    assert await served.lines(task.id) == [
        "FINISHED {'lr': '0.1'} {'loss': 1.0}",
        "[(0, 0.0), (1, 0.5), (2, 1.0)]",
        "[True]",
    ]


async def test_files_lie_in_the_tasks_folder(served, send):
    spec = {"code": await send({"x": ""})}
    for more in ({}, spec):
        task = await served.run(sys.executable, "-c", FILES, **more)
        # On the other stream the client may draw how far it is.
        assert await served.lines(task.id, "o") == ["['a', 'x.json']", "deep", "deep"]


async def test_several_processes_of_a_task_share_its_run(served):
    one = "import mlflow; mlflow.start_run(); mlflow.log_metric('x', {}, step={})"
    first, second = one.format(1, 1), one.format(2, 2)
    script = f'{sys.executable} -c "{first}" && {sys.executable} -c "{second}"'
    task = await served.run("sh", "-c", script)
    assert await served.points(task.id) == [("x", 1, 1.0), ("x", 2, 2.0)]


async def test_a_run_made_by_the_client_interface_is_the_task(served):
    code = """
import mlflow
client = mlflow.MlflowClient()
run = client.create_run("0", run_name="lightning")
client.log_metric(run.info.run_id, "loss", 2)
again = client.create_run("0", run_name="again")
client.log_metric(again.info.run_id, "loss", 3)
"""
    task = await served.run(sys.executable, "-c", code)
    assert await served.points(task.id) == [("loss", 0, 2.0), ("again/loss", 0, 3.0)]


async def test_two_points_of_one_moment_are_two(served):
    code = """
point = {"key": "x", "timestamp": 1, "step": 0}
points = [point | {"value": n} for n in (1, 2)]
print(ask(API + "runs/log-batch", {"run_id": RUN, "metrics": points}))
"""
    task = await served.run(sys.executable, "-c", REQUEST + code)
    assert await served.lines(task.id) == ["{}"]
    assert await served.points(task.id) == [("x", 0, 1.0), ("x", 0, 2.0)]


@pytest.mark.parametrize(
    "variables",
    [{"MLFLOW_TRACKING_URI": "file:///nowhere"}, {"EVQ_TRACKERS": "tensorboard"}],
)
async def test_who_tracks_elsewhere_is_left_alone(served, variables):
    code = "import os; print(sorted(name for name in os.environ if name.startswith('MLFLOW')))"
    task = await served.run(sys.executable, "-c", code, variables=variables)
    mine = [name for name in variables if name.startswith("MLFLOW")]
    assert await served.lines(task.id) == [str(mine)]


async def test_a_choice_that_is_not_understood_is_told(served):
    task = await served.run("true", variables={"EVQ_TRACKERS": "wandb"})
    (line,) = await served.lines(task.id, "a")
    assert line.startswith("EVQ_TRACKERS=wandb is not understood")


async def test_a_proxy_is_not_asked_for_the_agent(served):
    variables = {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "example.org"}
    task = await served.run(sys.executable, "-c", CLIENT, variables=variables)
    assert task.name_of_state == "completed", await served.lines(task.id)
    assert len(await served.points(task.id)) == 5


async def test_who_has_no_ticket_learns_nothing(served):
    code = """
mine = os.environ["MLFLOW_TRACKING_TOKEN"]
slot, claim, rest = mine.split(".", 2)
body = {"run_id": RUN, "key": "x", "value": 1}
for token in ("", "x", mine[:-1], f"{slot}.{int(claim) + 1}.{rest}", mine + "0", "ä"):
    try:
        print(ask(API + "runs/log-metric", body, token)[:3])
    except UnicodeEncodeError:
        print("401")
"""
    task = await served.run(sys.executable, "-c", REQUEST + code)
    assert await served.lines(task.id) == ["401"] * 6
    assert await served.points(task.id) == []


async def test_a_ticket_of_an_attempt_that_is_over_says_nothing(served):
    task = await served.run(
        sys.executable, "-c", "import os; print(os.environ['MLFLOW_TRACKING_TOKEN'])"
    )
    (ticket,) = await served.lines(task.id)
    code = f"""
run = "{task.id}-1"
print(ask(API + "runs/log-metric", {{"run_id": run, "key": "x", "value": 1}}, "{ticket}"))
"""
    # Both slots, so that one of them is that of the ticket.
    others = [await served.run(sys.executable, "-c", REQUEST + code) for _ in range(2)]
    for one in (task, *others):
        assert await served.points(one.id) == []


HOSTILE = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"run_id": 1}',
    b"[" * 100_000,
    b'{"key": "x", "value": {}}',
]


async def test_strange_requests_are_refused_and_harm_nobody(served):
    code = f"""
for body in {HOSTILE!r}:
    for path in ("runs/log-metric", "runs/log-batch", "runs/create", "runs/update", "runs/search"):
        answer = ask(API + path, body, method="POST")
        assert answer[:4] in ("400 ", "404 ") or answer[0] == "{{", (path, body[:20], answer)
long = ask(API + "runs/log-metric", {{"run_id": RUN, "key": "k" * 300, "value": 1}})
large = b" " * {LARGEST_BODY + 1}  # of which all is read, so that nobody hangs up on its writer
print(f"{{long[:3]}} {{ask(API + 'runs/log-batch', large)[:3]}}")
print(ask(API + "runs/log-metric", {{"run_id": RUN, "key": "x", "value": "low"}})[:3])
print(ask(API + "runs/log-metric", {{"run_id": RUN, "key": "x", "value": 1, "step": 2**70}})[:3])
other = ask(API + "runs/get?run_id=other")[:3]
print(f"{{other}} {{ask(API + 'registered-models/create', {{}})[:3]}}")
paths = ("../x", "%2e%2e/x", "a/%2e%2e/%2e%2e/x", "a%00b", "n" * 300)
files = ["/api/2.0/mlflow-artifacts/artifacts/" + path for path in paths]
print(" ".join(ask(file, b"x", method="PUT")[:3] for file in files))
print(ask(API + "runs/log-metric", {{"run_id": RUN, "key": "after", "value": 1}}))
"""
    task = await served.run(sys.executable, "-c", REQUEST + code)
    assert await served.lines(task.id) == [
        "400 413", "400", "400", "404 404", "400 400 400 400 400", "{}",
    ]  # fmt: skip
    assert ("after", 0, 1.0) in await served.points(task.id)


async def test_no_link_is_followed_to_a_file(served, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "secret").write_text("secret")
    code = f"""
os.makedirs("mlartifacts")
os.symlink({str(target)!r}, "mlartifacts/out")
os.symlink({str(target / "secret")!r}, "mlartifacts/file")
os.mkfifo("mlartifacts/pipe")
PATH = "/api/2.0/mlflow-artifacts/artifacts"
for path in ("out/secret", "file", "pipe", ""):
    print(ask(PATH + "/" + path)[:3])
print(ask(PATH + "?path=out") + " " + ask(PATH + "?path="))
new, file = (ask(PATH + path, b"x", method="PUT")[:3] for path in ("/out/new", "/file"))
print(new + " " + file)
print(os.path.islink("mlartifacts/file"))
"""
    task = await served.run(sys.executable, "-c", REQUEST + code)
    assert await served.lines(task.id) == [
        "404", "404", "404", "404", '{"files":[]} {"files":[]}', "404 {}", "False",
    ]  # fmt: skip
    assert [file.name for file in target.iterdir()] == ["secret"]
    assert (target / "secret").read_text() == "secret"


async def test_slow_clients_hold_up_nobody(served, gate):
    code = (
        REQUEST
        + """
import socket, urllib.parse
where = urllib.parse.urlsplit(os.environ["MLFLOW_TRACKING_URI"])
slow = [socket.create_connection((where.hostname, where.port)) for _ in range(50)]
for one in slow:
    one.sendall(b"POST /api/2.0/mlflow/runs/log-metric HTTP/1.1\\r\\nContent-Length: 9\\r\\n")
print(ask(API + "runs/log-metric", {"run_id": RUN, "key": "x", "value": 1}))
"""
    )
    task = await served.run(sys.executable, "-c", code)
    assert await served.lines(task.id) == ["{}"]
    assert await served.points(task.id) == [("x", 0, 1.0)]


async def test_the_server_comes_with_the_first_call_and_goes_with_its_agent(
    queue, start_agent, until, gate
):
    agent = start_agent([queue]).ready()

    def servers():
        found = []
        for one in psutil.Process(agent.process.pid).children():
            with suppress(psutil.Error):  # it may end while it is looked at
                found += [one] if "evq.agent.trackers.mlflow" in one.cmdline() else []
        return found

    await queue.run("true")
    assert servers() == []
    task = await queue.run(sys.executable, "-c", CLIENT)
    assert len(await queue.points(task.id)) == 5
    (server,) = servers()
    server.kill()
    await until(lambda: not servers())
    task = await queue.run(sys.executable, "-c", CLIENT)
    assert len(await queue.points(task.id)) == 5
    (server,) = servers()
    agent.process.send_signal(signal.SIGKILL)
    await until(lambda: not server.is_running())


async def test_an_agent_that_is_told_not_to_hear_it_has_no_port(queue, start_agent):
    agent = start_agent([queue], "--trackers", "none").ready()
    connections = psutil.Process(agent.process.pid).net_connections("inet")
    assert [one for one in connections if one.status == "LISTEN"] == []
    task = await queue.run("sh", "-c", "env | grep ^MLFLOW")
    assert await queue.lines(task.id) == []


async def test_secrets_are_kept_out_of_what_is_logged(queue, start_agent, monkeypatch):
    monkeypatch.setenv("EVQ_SECRET_TOKEN", "hunter2-hunter2")
    start_agent([queue]).ready()
    code = """
import mlflow, os
mlflow.log_param("token", os.environ["TOKEN"])
mlflow.set_tag("t", "x" + os.environ["TOKEN"])
"""
    task = await queue.run(sys.executable, "-c", code, secrets=("TOKEN",))
    params, tags = await remarks(queue, task.id)
    assert params == {"token": "[secret TOKEN]"}
    assert tags["t"] == "x[secret TOKEN]"
