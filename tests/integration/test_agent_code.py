"""Tasks with code: from the disk of their author to a process in its own environment."""

import subprocess
from pathlib import Path

import pytest

from evq.core.errors import NotFound
from evq.core.events import Cause, Environment, Outcome, Phase
from evq.core.sdk.snapshot import take
from evq.core.spec import Code, Module, Script

HEADER = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["iniconfig==2.0.0"]\n# ///\n'


def git(folder, *arguments):
    person = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True)


class Project:
    """A repository of an author."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")

    def write(self, path, text, mode=0o644):
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def commit(self):
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", "one")

    async def send(self, objects, tmp_path, *, folder="."):
        """Send the code as it lies on the disk."""
        with take(self.folder / folder, None) as snapshot:
            for blob in snapshot.blobs:
                bundle = tmp_path / blob.name
                snapshot.write_bundle(blob, bundle)
                await objects.put(blob.name, bundle)
        return snapshot.code


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


async def test_code_as_it_lies_on_the_disk(served, project, tmp_path):
    project.write("lib.py", "WORD = 'committed'\n")
    project.write("sub/data", "data\n")
    project.commit()
    project.write("lib.py", "WORD = 'changed'\n")
    project.write("sub/run.py", "import os; print(os.getcwd()); print(open('data').read())")
    code = await project.send(served.client.bus.objects, tmp_path, folder="sub")
    assert code.folder == "sub" and len(code.blobs) == 2
    run = "test -f run.py && pwd && cat data ../lib.py; echo $EVQ_COMMIT; exit $((2 - EVQ_ATTEMPT))"
    task = await served.run("sh", "-c", run, code=code, retries=1)
    assert task.state.outcome is Outcome.COMPLETED
    first, second = task.attempts
    assert [first.phases[0].cached, second.phases[0].cached] == [False, True]
    lines = await served.lines(task.id, "o")
    places, lines = [lines[0], lines[4]], [*lines[1:4], *lines[5:]]
    assert lines == ["data", "WORD = 'changed'", code.commit] * 2
    # Every attempt has a folder of its own, which goes with it unless it failed.
    assert [Path(place).name for place in places] == ["sub", "sub"]
    assert places[0] != places[1]
    assert [Path(place).parent.exists() for place in places] == [True, False]
    phases = [e.event for e in await served.envelopes(task.id) if isinstance(e.event, Phase)]
    assert [phase.name for phase in phases] == ["code"] * 4
    assert [phase.seconds is None for phase in phases] == [True, False] * 2


async def test_kinds_of_scripts(served, project, tmp_path):
    project.write("run.py", "import sys; print('python', sys.argv[1:])")
    project.write("run.sh", 'echo bash "$@" ${BASH_VERSION:+yes}')
    project.write("run", "#!/bin/sh\necho itself $0 $1", mode=0o755)
    project.write("plain", "print('python', 3)")
    project.write("package/__main__.py", "import sys; print('module', sys.argv[1:])")
    project.write("package/__init__.py", "")
    project.commit()
    code = await project.send(served.client.bus.objects, tmp_path)

    async def run(entry):
        task = await served.run(entry=entry, code=code)
        assert task.state.outcome is Outcome.COMPLETED, await served.lines(task.id)
        return " ".join(await served.lines(task.id, "o"))

    assert await run(Script("run.py", ("a b",))) == "python ['a b']"
    assert await run(Script("run.sh", ("a", "b"))) == "bash a b yes"
    words = (await run(Script("run", ("x",)))).split()
    assert words[0] == "itself" and words[1].endswith("/run") and words[2] == "x"
    assert await run(Script("plain")) == "python 3"
    assert await run(Module("package", ("m",))) == "module ['m']"
    missing = await served.run(entry=Script("nowhere.py"), code=code)
    assert (missing.state.outcome, missing.state.cause) == (Outcome.FAILED, Cause.SOURCE)
    assert "[E30] there is no nowhere.py in the task's code" in missing.state.evidence


async def test_code_that_is_nowhere(served):
    code = Code(snapshot="0" * 40, blobs=("base-" + "0" * 40,))
    with pytest.raises(NotFound, match="is not on the server any more"):
        await served.run("true", code=code)
    # As if it had been removed after it was enqueued.
    served.client.enqueuer.code.note(code.blobs[0])
    task = await served.run("true", code=code)
    assert task.state.cause is Cause.SOURCE and "[E30]" in task.state.evidence
    assert task.attempts[0].phases[0].detail.startswith("the object base-")


async def test_a_script_with_requirements_of_its_own(served, project, tmp_path):
    script = "import importlib.metadata, evq\nevq.log({'seen': 1})\n"
    script += "print(importlib.metadata.version('iniconfig'))\n"
    project.write("train.py", HEADER + script)
    project.commit()
    code = await project.send(served.client.bus.objects, tmp_path)

    async def run():
        task = await served.run(entry=Script("train.py"), code=code, manager="auto")
        assert task.state.outcome is Outcome.COMPLETED, await served.lines(task.id)
        assert await served.lines(task.id, "o") == ["2.0.0"]
        assert await served.points(task.id) == [("seen", None, 1.0)]
        return task

    first, second = await run(), await run()
    seen = [[(p.name, p.cached) for p in task.attempts[0].phases] for task in (first, second)]
    assert seen == [
        [("code", False), ("environment", False)],
        [("code", True), ("environment", True)],
    ]
    # What uv says is part of the first one's log, and there is nothing to say for the second.
    assert await served.lines(first.id, "s") and not await served.lines(second.id, "s")
    record = await served.event(first.id, Environment)
    assert record.manager == "uv" and record.python and record.key
    assert ("iniconfig", "2.0.0") in [(p.name, p.version) for p in record.packages]
    told = second.attempts[0].environment
    assert (told.key, told.packages) == (record.key, record.packages)
    assert first.attempts[0].launch.argv[0] == "python"


async def test_an_environment_that_cannot_be(served):
    task = await served.run("true", manager="uv", requirements=("./not/there",))
    assert (task.state.outcome, task.state.cause) == (Outcome.FAILED, Cause.ENVIRONMENT)
    assert task.state.evidence.startswith("[E31]") and task.attempts[0].launch is None
    assert (await served.lines(task.id, "a"))[0].startswith("error[E31]")
