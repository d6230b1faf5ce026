"""Artifacts by whole agents: what one task saves another one, or a person, finds."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from evq.core.errors import ArtifactFailed, NotFound

SAVE = """
import evq
open("model.pt", "wb").write({content!r})
print(evq.save("model.pt"))
"""


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def saved(served: Any, python: str, content: bytes) -> Any:
    """A task that has saved `content` as model.pt."""
    task = await served.run(python, "-c", SAVE.format(content=content))
    assert await served.lines(task.id) == ["model.pt"]
    return task


async def test_what_is_saved_is_in_the_log(served: Any, plain_python: str) -> None:
    task = await saved(served, plain_python, b"weights")
    (one,) = (await served.client.artifacts(task.id)).values()
    assert (one.name, one.size, one.folder) == ("model.pt", 7, False)
    assert one.digest == digest_of(b"weights")


async def test_a_person_loads_it(served: Any, plain_python: str, tmp_path: Path) -> None:
    task = await saved(served, plain_python, b"weights")
    path = await served.client.load(task.id, "model.pt", tmp_path / "here")
    assert path.read_bytes() == b"weights"
    assert os.listdir(tmp_path / "here") == ["model.pt"]


async def test_another_task_loads_it(served: Any, plain_python: str) -> None:
    task = await saved(served, plain_python, b"weights")
    code = f"import evq; print(evq.load('{task.id}', 'model.pt', to='in').read_text())"
    other = await served.run(plain_python, "-c", code)
    assert await served.lines(other.id) == ["weights"]


async def test_a_retry_finds_what_the_attempt_before_it_saved(
    served: Any, plain_python: str, tmp_path: Path
) -> None:
    code = """
import evq, os, sys
attempt = os.environ["EVQ_ATTEMPT"]
if attempt == "1":
    open("state", "w").write("step 3")
else:
    print(evq.load("@", "state").read_text())
    open("state", "w").write("step 9")
evq.save("state")
sys.exit(attempt == "1")
"""
    task = await served.run(plain_python, "-c", code, retries=1)
    assert await served.lines(task.id) == ["step 3"]
    client = served.client
    assert (await client.load(task.id, "state", tmp_path)).read_text() == "step 9"
    assert (await client.load(task.id, "state", tmp_path, attempt=1)).read_text() == "step 3"


async def test_of_two_with_one_name_the_later_counts(
    served: Any, plain_python: str, tmp_path: Path
) -> None:
    code = """
import evq
for text in ("one", "two"):
    open("a", "w").write(text)
    evq.save("a", name="best/model=1.ckpt")
"""
    task = await served.run(plain_python, "-c", code)
    path = await served.client.load(task.id, "best/model=1.ckpt", tmp_path)
    assert path == tmp_path / "best" / "model=1.ckpt"
    assert path.read_text() == "two"


async def test_a_folder(served: Any, plain_python: str, tmp_path: Path) -> None:
    code = """
import evq, os
os.makedirs("out/deep/empty")
open("out/deep/a", "w").write("a")
open("out/run", "w").write("b")
os.chmod("out/run", 0o755)
os.symlink("deep/a", "out/link")
print(evq.save("out"))
print(sorted(os.listdir(evq.load("@", "out", to="again"))))
"""
    task = await served.run(plain_python, "-c", code)
    assert await served.lines(task.id) == ["out", "['deep', 'link', 'run']"]
    out = await served.client.load(task.id, "out", tmp_path)
    assert (out / "deep" / "a").read_text() == (out / "link").read_text() == "a"
    assert not (out / "link").is_symlink()
    assert (out / "deep" / "empty").is_dir()
    assert os.access(out / "run", os.X_OK) and not os.access(out / "deep" / "a", os.X_OK)
    assert await served.client.load(task.id, "out", tmp_path) == out
    (out / "mine").write_text("not evq's")
    with pytest.raises(ArtifactFailed, match="in the way"):
        await served.client.load(task.id, "out", tmp_path)


async def test_what_is_not_there(served: Any, plain_python: str, tmp_path: Path) -> None:
    code = """
import evq
for name in ("absent",):
    try:
        evq.load("@", name)
    except FileNotFoundError as error:
        print(str(error).splitlines()[0])
try:
    evq.save("nothing")
except FileNotFoundError as error:
    print(error.filename)
"""
    task = await served.run(plain_python, "-c", code)
    first, second = await served.lines(task.id)
    assert first == f"error[E03]: task {task.id} has no artifact absent"
    assert second == "nothing"
    with pytest.raises(NotFound, match="no artifact"):
        await served.client.load(task.id, "absent", tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a//b", "a\nb", "x" * 201, "a:b"])
async def test_no_name_leads_out_of_a_folder(served: Any, plain_python: str, name: str) -> None:
    code = f"""
import evq
open("a", "w").close()
try:
    evq.save("a", name={name!r})
except RuntimeError as error:
    print(str(error)[:11])
"""
    task = await served.run(plain_python, "-c", code)
    assert await served.lines(task.id) == ["error[E01]:"]
    assert await served.client.artifacts(task.id) == {}


async def test_many_at_once_from_several_processes(served: Any, plain_python: str) -> None:
    code = """
import evq, os
from multiprocessing.pool import ThreadPool
def one(number):
    open(f"f{number}", "wb").write(os.urandom(100_000))
    evq.save(f"f{number}")
    evq.log({"saved": number})
for process in range(2):
    if os.fork() == 0:
        ThreadPool(4).map(one, range(process * 10, process * 10 + 10))
        os._exit(0)
for process in range(2):
    os.wait()
"""
    task = await served.run(plain_python, "-c", code)
    assert len(await served.client.artifacts(task.id)) == 20
    assert len(await served.points(task.id)) == 20


async def test_a_large_file_is_not_held_in_memory(queue: Any, start_agent: Any) -> None:
    agent = start_agent([queue]).ready()
    before = agent.memory("VmHWM")
    code = """
import evq
with open("big", "wb") as file:
    for number in range(256):
        file.write(number.to_bytes(1, "big") * 2**20)
evq.save("big")
evq.load("@", "big", to="again")
"""
    task = await queue.run("python3", "-c", code)
    assert (await queue.client.artifacts(task.id))["big"].size == 256 * 2**20
    assert agent.memory("VmHWM") - before < 150 * 2**20


async def test_too_large_for_the_server(queue: Any, start_agent: Any, tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    start_agent([queue], "--artifact-bytes", "1000").ready()
    code = """
import evq
open("a", "wb").write(b"a" * 1001)
try:
    evq.save("a")
except RuntimeError as error:
    print(error)
"""
    task = await queue.run("python3", "-c", code)
    lines = await queue.lines(task.id)
    assert lines[0].startswith("error[E35]: the artifact is too large")
    assert any("s3://BUCKET" in line for line in lines)


async def test_a_folder_of_all_machines(queue: Any, start_agent: Any, tmp_path: Path) -> None:
    (tmp_path / "depot").mkdir()
    start_agent([queue], "--artifacts", str(tmp_path / "depot")).ready()
    task = await saved(queue, "python3", b"weights")
    (one,) = (await queue.client.artifacts(task.id)).values()
    assert one.depot == str(tmp_path / "depot")
    assert (await queue.client.load(task.id, "model.pt", tmp_path)).read_bytes() == b"weights"
