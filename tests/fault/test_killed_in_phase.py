"""kill -9 of the agent in each phase of an attempt, at a named point inside of it.

The points are real programs that stop on their way: `git` and `python` as the agent finds them, a
package's own build, the task's command. The next attempt must complete, and of the first nothing
may be left: no process, no mount, no cgroup, no half-made environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import half_made, mounts
from scene import Scene
from waiting import until

from evq.agent.limits.cgroups import Cgroups
from evq.core.events import Claimed, Finished, Lost, Outcome, Phase
from evq.core.sdk.snapshot import take
from evq.core.spec import Code, Limits, Script, Spec

POINTS = {
    "fetch": "code",
    "read-tree": "code",
    "venv": "environment",
    "install": "environment",
    "command": "",
}
"""Each point, and the phase that it lies in."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

WRAPPER = """#!/bin/sh
for word in "$@"; do
    [ "$word" = "{word}" ] && [ -e "{gate}" ] && touch "{reached}" && exec sleep 600
done
exec "{program}" "$@"
"""

BACKEND = """
import os, time, zipfile
from pathlib import Path

def build_wheel(folder, config_settings=None, metadata_directory=None):
    if os.path.exists({gate!r}):
        Path({reached!r}).touch()
        time.sleep(600)
    name = "own-1.0-py3-none-any.whl"
    info = "own-1.0.dist-info"
    facts = "Metadata-Version: 2.1\\nName: own\\nVersion: 1.0\\n"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("own.py", "WORD = 'built'")
        wheel.writestr(f"{{info}}/METADATA", facts)
        wheel.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{{info}}/RECORD", "")
    return name
"""

COMMAND = """
import os, time
from pathlib import Path
import own
print(own.WORD)
if os.path.exists({gate!r}):
    Path({reached!r}).touch()
    time.sleep(600)
"""


class Point:
    """A place in an attempt where it stops as long as the gate is shut."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._reached = folder / "reached"
        (folder / "bin").mkdir(parents=True)

    def gate(self, name: str) -> dict[str, str]:
        """What the program at that point looks at."""
        return {"gate": str(self.folder / f"gate-{name}"), "reached": str(self._reached)}

    def shut(self) -> None:
        (self.folder / f"gate-{self.name}").touch()

    def open(self) -> None:
        (self.folder / f"gate-{self.name}").unlink()

    def wrap(self, name: str, point: str, word: str) -> None:
        """Have a program stop at `point` when `word` is among its arguments."""
        program = shutil.which(name)
        assert program
        script = self.folder / "bin" / name
        script.write_text(WRAPPER.format(word=word, program=program, **self.gate(point)))
        script.chmod(0o755)

    async def reached(self) -> None:
        await until(self._reached.exists, f"{self.name} reached")


async def code_of(scene: Scene, point: Point) -> Code:
    """The snapshot of a small project whose own package has to be built."""
    project = point.folder / "project"
    (project / "own").mkdir(parents=True)
    (project / "train.py").write_text(COMMAND.format(**point.gate("command")))
    (project / "requirements.txt").write_text("./own\n")
    (project / "own/pyproject.toml").write_text(
        '[project]\nname = "own"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (project / "own/backend.py").write_text(BACKEND.format(**point.gate("install")))
    person = ("git", "-C", str(project), "-c", "user.name=A", "-c", "user.email=a@example.org")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "one")):
        subprocess.run([*person, *words], check=True)
    with take(project, None) as snapshot:
        for blob in snapshot.blobs:
            bundle = point.folder / blob.name
            snapshot.write_bundle(blob, bundle)
            await scene.client.bus.objects.put(blob.name, bundle)
    return snapshot.code


def last_phase(scene: Scene, task: str) -> str:
    """The last phase of the task that the log tells of; empty if there is none yet."""
    phases = [event.name for event in scene.history(task) if isinstance(event, Phase)]
    return phases[-1] if phases else ""


def cgroups(instance: str) -> list[str]:
    """The cgroups of an agent that was started by this process."""
    return [base for base in Cgroups(Path("/nonexistent"), instance).bases if Path(base).exists()]


@pytest.fixture
def point(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Point:
    """The point of this test, its gate shut."""
    found = Point(request.param, tmp_path / "point")
    if request.param in ("fetch", "read-tree"):
        found.wrap("git", request.param, request.param)
    for name in ("python3", f"python{PYTHON}"):
        if shutil.which(name):
            found.wrap(name, "venv", "-I")
    monkeypatch.setenv("PATH", f"{found.folder / 'bin'}:{os.environ['PATH']}")
    found.shut()
    return found


@pytest.mark.parametrize("point", POINTS, indirect=True)
async def test_what_was_killed_on_its_way_is_done_by_the_next(
    scene: Scene, point: Point, tmp_path: Path
) -> None:
    limits = None if Cgroups(tmp_path, "x").lacking else Limits(processes=200)
    code = await code_of(scene, point)
    first = await scene.agent("one")
    spec = Spec(
        entry=Script("train.py"), name="phases", queue="q", code=code, limits=limits, python=PYTHON
    )
    receipt = await scene.client.enqueue(spec)
    task = receipt.task
    scene.acked.append((task, receipt.seq))
    await point.reached()
    instance = (await scene.event(task, Claimed)).instance
    assert limits is None or cgroups(instance)
    if phase := POINTS[point.name]:
        await until(lambda: last_phase(scene, task) == phase, f"the log is at {phase}")
    first.kill()
    await until(first.ended, "all processes of the first agent gone")
    point.open()

    second = await scene.agent("one")
    again = await scene.event(task, Claimed, attempt=2)
    assert again.agent == "one" and again.instance != instance
    end = await scene.end(task)
    assert isinstance(end, Finished)
    assert (end.outcome, end.attempt) == (Outcome.COMPLETED, 2), await scene.lines(task)
    assert "built" in await scene.lines(task)
    await scene.event(task, Lost)
    second.process.terminate()
    await until(second.ended, "all processes of the second agent gone")

    # The same as the agent's caretaker does from time to time.
    prune = [sys.executable, "-P", "-m", "evq.agent.caches", "prune", "--to", str(2**40)]
    subprocess.run(
        [*prune, "--cache-dir", str(scene.folder / "c")], check=True, capture_output=True
    )
    assert half_made(scene.folder / "c") == []
    assert not list((scene.folder / "state/agents/one/work").glob(f"{task}-*"))
    assert mounts(scene.folder) == []
    assert cgroups(instance) == cgroups(again.instance) == []
    await scene.verdict()
