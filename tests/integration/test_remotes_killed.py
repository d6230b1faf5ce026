"""A fetch that is killed in the middle: the next one has nothing in its way, and takes no half."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from githost import git
from stopping import GIT_THAT_STOPS

HALVES = {
    "fetch": "touch {mirror}/shallow.lock {mirror}/objects/pack/tmp_pack_torn",
    "read-tree": "true",
}
ONE_CHECKOUT = """
import asyncio, sys
from pathlib import Path
from evq.agent.attempts.command import Completed
from evq.agent.sources.credentials import Credentials
from evq.agent.sources.remote import Remote
from evq.core.spec import Repo

async def run(argv, *, cwd, env):
    process = await asyncio.create_subprocess_exec(*argv, cwd=cwd, env=env, stdout=-1)
    said, _ = await process.communicate()
    return Completed(exit_code=process.returncode, output=said.decode())

url, cache, target = sys.argv[1], *map(Path, sys.argv[2:])
asyncio.run(Remote(cache, Credentials(), run).checkout(Repo(url), target))
"""


@pytest.mark.parametrize("verb", ["fetch", "read-tree"])
async def test_a_kill_leaves_nothing_in_the_way(place, host, verb):
    url = f"{host.url}/project.git"
    await place.checkout(url, "before")
    (mirror,) = (path for path in (place.cache / "mirrors").iterdir() if path.is_dir())
    second = place.commit("two", {"train.py": "print('two')\n"})

    begun, never, shim = (place.folder / name for name in ("begun", "never", "bin/git"))
    os.mkfifo(begun)
    os.mkfifo(never)
    shim.parent.mkdir()
    half = HALVES[verb].format(mirror=mirror)
    real = shutil.which("git")
    shim.write_text(GIT_THAT_STOPS.format(verb=verb, git=real, half=half, begun=begun, never=never))
    shim.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", ONE_CHECKOUT, url, str(place.cache), str(place.folder / "work")],
        env={**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    assert begun.read_text() == "begun\n"
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (place.folder / "work").exists() and not place.nothing_is_left()

    placed = await place.checkout(url)
    assert placed.commit == second and place.nothing_is_left()
    assert git(place.folder / "work", "status", "--porcelain") == ""
    assert not list(mirror.rglob("*.lock")) and not list(mirror.rglob("tmp_*"))
