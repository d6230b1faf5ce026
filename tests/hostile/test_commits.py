"""The corpus of commits made to harm, brought by bundles and by remotes: nothing is executed,
nothing is written outside of the work tree, and what is refused leaves nothing behind.

What may harm in the making of environments is in tests/integration/environment.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from githost import HttpHost, git
from hostile.trees import CASES, Case, Ground

from evq.agent.attempts.command import Completed
from evq.agent.sources import bounds
from evq.agent.sources.credentials import Credentials
from evq.agent.sources.remote import Remote
from evq.agent.sources.workdir import checkout
from evq.core.errors import CodeFailed
from evq.core.spec import Repo

HOME = """
[core]
    fsmonitor = touch {marker}
    hooksPath = {home}/hooks
    sshCommand = touch {marker}
    pager = touch {marker}
    gitProxy = touch {marker}
[filter "harm"]
    smudge = touch {marker}; cat
    process = touch {marker}
[protocol "ext"]
    allow = always
[credential]
    helper = !touch {marker}
"""
"""What a user may have in his configuration; an attempt must not depend on it either."""


async def run(argv, *, cwd, env):
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return Completed(exit_code=process.returncode, output=said.decode(errors="replace"))


class Scene:
    """The ground, and an agent's places beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.cache = folder / "root", folder / "cache"
        self.ground = Ground(self.root / "project.git", folder / "marker", folder / "outside")
        self.ground.outside.mkdir()
        for name in ("project", "project.git/inner"):
            bare = self.root / f"{name.removesuffix('.git')}.git"
            git(folder, "init", "-q", "--bare", "-b", "main", str(bare))
        self.target = folder / "work" / "target"
        self.target.parent.mkdir()

    def build(self, case: Case) -> str:
        """Write the commit of `case` into the host's repository; its id."""
        commit = self.ground.commit(case.build(self.ground))
        git(self.ground.repository, "update-ref", "refs/heads/main", commit)
        return commit

    def bundle(self, commit: str) -> Path:
        """A bundle of `commit`."""
        git(self.ground.repository, "update-ref", f"refs/evq/{commit}", commit)
        path = self.folder / "bundle"
        git(self.ground.repository, "bundle", "create", "-q", str(path), f"refs/evq/{commit}")
        return path

    def no_harm_was_done(self) -> None:
        """Fail if anything was executed, or written where it must not be."""
        assert not self.ground.marker.exists(), "something was executed"
        assert list(self.ground.outside.iterdir()) == [], "something was written outside"
        assert sorted(path.name for path in self.target.parent.iterdir()) in ([], ["target"])
        assert not list(self.folder.glob("work/**/.git/hooks"))
        assert not list(self.cache.glob("*/.new-*")) and not list(self.cache.glob("*/.old-*"))


@pytest.fixture
def scene(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    scene = Scene(tmp_path)
    marker = scene.ground.marker
    (home / ".gitconfig").write_text(HOME.format(marker=marker, home=home))
    for hook in ("post-checkout", "post-index-change", "reference-transaction"):
        (home / "hooks" / hook).write_text(scene.ground.script)
        (home / "hooks" / hook).chmod(0o755)
    for name in ("GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_ASKPASS"):
        monkeypatch.setenv(name, f"touch {marker}")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext:file:https:http:fd")
    monkeypatch.setattr(bounds, "MAX_FILES", 10_000)
    monkeypatch.setattr(bounds, "MAX_BYTES", 500_000_000)
    # What is tested sees this home; what builds the cases must not.
    monkeypatch.setattr("githost.FREE", ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor="))
    monkeypatch.setenv("HOME", str(home))
    return scene


@pytest.fixture
def host(scene):
    served = HttpHost(scene.root)
    yield served
    served.close()


def test_the_ground_bites(scene, tmp_path):
    """Plain git, in the same home, leaves the marker: so the tests below can fail."""
    (attributes,) = (case for case in CASES if case.name == "attributes-with-filters")
    scene.build(attributes)
    plain = ("git", "clone", "-q", str(scene.ground.repository), str(tmp_path / "plain"))
    subprocess.run(plain, capture_output=True)
    assert scene.ground.marker.exists()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_bundle(scene, case):
    commit = scene.build(case)
    blob = scene.bundle(commit)
    try:
        await checkout([blob], commit, cache=scene.cache, target=scene.target, run=run)
        # Submodules and LFS of a bundle are never followed, so there is nothing to refuse.
        assert not case.refused or case.name.startswith(("submodule-", "lfs-"))
    except CodeFailed:
        assert not scene.target.exists()
    scene.no_harm_was_done()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_remote(scene, host, case):
    if case.needs_lfs and not shutil.which("git-lfs"):
        pytest.skip("git-lfs is not installed")
    scene.build(case)
    remote = Remote(scene.cache, Credentials(ssh="false"), run)
    try:
        await remote.checkout(Repo(f"{host.url}/project.git"), scene.target)
        assert not case.refused, "this must not be put in place"
    except CodeFailed as error:
        assert not scene.target.exists() and error.what
    scene.no_harm_was_done()


async def test_a_remote_with_replacements_and_alternates(scene, host, tmp_path):
    ground = scene.ground
    good = ground.commit(ground.tree(("100644", "file", ground.blob("good\n"))))
    bad = ground.commit(ground.tree(("100644", "file", ground.blob("bad\n"))))
    git(ground.repository, "update-ref", "refs/heads/main", good)
    git(ground.repository, "update-ref", f"refs/replace/{good}", bad)
    (ground.repository / "objects" / "info" / "http-alternates").write_text("/../../outside\n")
    await Remote(scene.cache, Credentials(), run).checkout(
        Repo(f"{host.url}/project.git"), scene.target
    )
    assert (scene.target / "file").read_text() == "good\n"
    assert not list(scene.target.rglob("alternates")) and not list(scene.cache.rglob("replace"))
    scene.no_harm_was_done()


async def test_a_repository_around_the_cache_has_no_say(scene, host):
    ground = scene.ground
    commit = ground.commit(ground.tree(("100644", "file", ground.blob("good\n"))))
    git(ground.repository, "update-ref", "refs/heads/main", commit)
    git(scene.folder, "init", "-q")
    with (scene.folder / ".git" / "config").open("a") as config:
        config.write(f'[url "file://{scene.ground.outside}/"]\n\tinsteadOf = {host.url}/\n')
    remote = Remote(scene.cache, Credentials(), run)
    await remote.checkout(Repo(f"{host.url}/project.git"), scene.target)
    assert (scene.target / "file").read_text() == "good\n"
    scene.no_harm_was_done()


async def test_what_a_task_left_in_its_work_tree_is_of_no_use_to_the_next(scene, host):
    """A task may write all it wants into its own tree; the mirror and the next tree stay."""
    ground = scene.ground
    commit = ground.commit(ground.tree(("100644", "file", ground.blob("good\n"))))
    git(ground.repository, "update-ref", "refs/heads/main", commit)
    remote = Remote(scene.cache, Credentials(), run)
    await remote.checkout(Repo(f"{host.url}/project.git"), scene.target)
    (scene.target / ".git" / "hooks").mkdir()
    for name in ("post-checkout", "post-index-change"):
        (scene.target / ".git" / "hooks" / name).write_text(ground.script)
        (scene.target / ".git" / "hooks" / name).chmod(0o755)
    with (scene.target / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = touch {ground.marker}\n")
    shutil.rmtree(scene.target)
    await remote.checkout(Repo(f"{host.url}/project.git"), scene.target)
    assert os.listdir(scene.target / ".git" / "refs" / "evq") == []
    scene.no_harm_was_done()
