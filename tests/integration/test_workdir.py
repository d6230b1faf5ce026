"""Code put in place on an agent: from damaged, hostile and concurrent bundles, and after kills."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys

import pytest
from stopping import GIT_THAT_STOPS

from evq.agent.attempts.command import Completed
from evq.agent.sources.workdir import checkout, has, prune, remove
from evq.core.errors import CodeFailed
from evq.core.sdk.snapshot import take

PERSON = ("-c", "user.name=A", "-c", "user.email=a@example.org")


def git(folder, *arguments, stdin=b""):
    done = subprocess.run(
        ["git", *PERSON, *arguments], cwd=folder, input=stdin, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


async def run(argv, *, cwd, env):
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return Completed(exit_code=process.returncode, output=output.decode(errors="replace"))


class Sent:
    """A task's code as it arrives: the commit, its bundles, and the agent's places."""

    def __init__(self, place):
        self.place, self.cache, self.source = place, place / "cache", place / "source"
        for number in range(30):
            (self.source / f"d{number % 3}").mkdir(parents=True, exist_ok=True)
            (self.source / f"d{number % 3}" / f"f{number}.py").write_text(f"x = {number}\n")
        git(self.source, "init", "-q", "-b", "main")
        git(self.source, "add", "-A")
        git(self.source, "commit", "-qm", "one")
        (self.source / "new.py").write_text("new\n")
        self.commit, self.blobs = self.send()
        self.base = self.blobs[0].name.removeprefix("base-")

    def send(self):
        with take(self.source, None) as snapshot:
            for blob in snapshot.blobs:
                snapshot.write_bundle(blob, self.place / blob.name)
        return snapshot.code.snapshot, [self.place / blob.name for blob in snapshot.blobs]

    async def checkout(self, name, *, blobs=None, commit=None):
        blobs = self.blobs if blobs is None else blobs
        target = self.place / name
        await checkout(blobs, commit or self.commit, cache=self.cache, target=target, run=run)
        return target

    def is_whole(self, target):
        names = {path.relative_to(target).as_posix() for path in target.rglob("*.py")}
        wanted = {path.relative_to(self.source).as_posix() for path in self.source.rglob("*.py")}
        return names == wanted and git(target, "status", "--porcelain") == ""

    def nothing_is_left(self):
        halves = [*self.place.glob(".*.part"), *self.cache.glob("git/.*")]
        return not halves


@pytest.fixture
def sent(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Sent(tmp_path)


async def test_a_second_checkout_needs_no_bundle(sent):
    assert not has(sent.cache, sent.commit)
    assert sent.is_whole(await sent.checkout("one"))
    assert has(sent.cache, sent.commit) and has(sent.cache, sent.base)
    for blob in sent.blobs:
        blob.unlink()
    assert sent.is_whole(await sent.checkout("two", blobs=[]))
    assert sent.nothing_is_left()


async def test_another_change_of_the_same_base_needs_only_the_change(sent):
    await sent.checkout("one")
    (sent.source / "newer.py").write_text("newer\n")
    commit, [base, change] = sent.send()
    assert has(sent.cache, base.name.removeprefix("base-"))
    assert sent.is_whole(await sent.checkout("two", blobs=[change], commit=commit))


async def test_a_work_tree_is_private_and_stands_without_the_cache(sent):
    one, two = await sent.checkout("one"), await sent.checkout("two")
    (one / "new.py").write_text("scribbled\n")
    git(one, "commit", "-qam", "mine")
    shutil.rmtree(sent.cache)
    assert git(one, "fsck", "--full") == ""
    assert sent.is_whole(two)


async def test_the_cache_may_lie_on_another_file_system(sent, monkeypatch):
    def across(source, place):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", across)
    assert sent.is_whole(await sent.checkout("one"))


async def test_four_at_once(sent):
    targets = await asyncio.gather(*(sent.checkout(f"work-{number}") for number in range(4)))
    assert all(map(sent.is_whole, targets))
    assert sent.nothing_is_left()


async def test_a_target_that_exists_is_not_touched(sent):
    (sent.place / "one").mkdir()
    with pytest.raises(CodeFailed, match="exists already"):
        await sent.checkout("one")


HALVES = {
    "fetch": "echo torn > .git/objects/pack/tmp_pack_torn",
    "read-tree": "{git} checkout -q HEAD -- d0",
}
ONE_CHECKOUT = """
import asyncio, sys
from pathlib import Path
from subprocess import DEVNULL
from evq.agent.attempts.command import Completed
from evq.agent.sources.workdir import checkout

async def run(argv, *, cwd, env):
    process = await asyncio.create_subprocess_exec(*argv, cwd=cwd, env=env, stdout=DEVNULL)
    return Completed(exit_code=await process.wait(), output="")

commit, (cache, target, *blobs) = sys.argv[1], map(Path, sys.argv[2:])
asyncio.run(checkout(blobs, commit, cache=cache, target=target, run=run))
"""


@pytest.mark.parametrize("verb", ["fetch", "read-tree"])
async def test_a_kill_in_the_middle_leaves_nothing_that_is_taken_for_whole(sent, verb):
    real = shutil.which("git")
    begun, never, shim = sent.place / "begun", sent.place / "never", sent.place / "bin" / "git"
    os.mkfifo(begun)
    os.mkfifo(never)
    shim.parent.mkdir()
    half = HALVES[verb].format(git=real)
    shim.write_text(GIT_THAT_STOPS.format(verb=verb, git=real, half=half, begun=begun, never=never))
    shim.chmod(0o755)
    arguments = [sent.commit, sent.cache, sent.place / "one", *sent.blobs]
    process = subprocess.Popen(
        [sys.executable, "-c", ONE_CHECKOUT, *map(str, arguments)],
        env={**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"},
        start_new_session=True,
    )
    assert begun.read_text() == "begun\n"
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL

    assert not (sent.place / "one").exists()
    assert not sent.nothing_is_left()
    assert has(sent.cache, sent.commit) == (verb == "read-tree")
    assert sent.is_whole(await sent.checkout("one"))
    assert not list(sent.place.glob(".*.part"))


async def test_a_damaged_cache_is_forgotten_and_filled_anew(sent):
    remove(await sent.checkout("one"))
    for pack in (sent.cache / "git").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"PACK" + bytes(200))
    with pytest.raises(CodeFailed):
        await sent.checkout("one")
    assert not has(sent.cache, sent.commit) and not has(sent.cache, sent.base)
    assert sent.is_whole(await sent.checkout("one"))
    assert sent.nothing_is_left()


async def test_bundles_that_do_not_bring_the_commit(sent):
    other = sent.base[::-1]
    [base, change] = sent.blobs
    torn = sent.place / "torn"
    torn.write_bytes(base.read_bytes()[:-30])
    for blobs, commit in (
        ([base, change], other),
        ([base], sent.commit),
        ([change], sent.commit),
        ([torn, change], sent.commit),
        ([sent.place / "missing"], sent.commit),
        ([], sent.commit),
        ([base, change], "--upload-pack=touch x"),
        ([base, change], "HEAD"),
    ):
        with pytest.raises(CodeFailed) as failed:
            await sent.checkout("one", blobs=blobs, commit=commit)
        assert failed.value.why and failed.value.fix
        assert not (sent.place / "one").exists() and sent.nothing_is_left()
        shutil.rmtree(sent.cache, ignore_errors=True)


def tree(repository, *entries):
    """A git tree that no `git add` would make: entries of (mode, name, object id)."""
    raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for mode, name, oid in entries)
    how = ("hash-object", "-t", "tree", "--literally", "-w", "--stdin")
    return git(repository, *how, stdin=raw)


def hostile_bundle(repository, top):
    """A well-formed bundle of a commit of the tree `top`."""
    commit = git(repository, "commit-tree", "-m", "x", top)
    git(repository, "update-ref", f"refs/evq/{commit}", commit)
    git(repository, "bundle", "create", "-q", "hostile", f"refs/evq/{commit}")
    return repository / "hostile", commit


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1", ".g\u200cit", "..", "."])
async def test_a_tree_cannot_write_where_git_keeps_its_own(sent, name):
    script = git(sent.source, "hash-object", "-w", "--stdin", stdin=b"#!/bin/sh\ntouch ran\n")
    hooks = tree(sent.source, ("100755", "post-checkout", script))
    inner = tree(sent.source, ("40000", "hooks", hooks))
    blob, commit = hostile_bundle(sent.source, tree(sent.source, ("40000", name, inner)))
    with pytest.raises(CodeFailed):
        await sent.checkout("one", blobs=[blob], commit=commit)
    assert not list(sent.place.rglob("post-checkout")) and sent.nothing_is_left()


async def test_a_tree_cannot_write_through_a_link(sent):
    outside = sent.place / "outside"
    outside.mkdir()
    link = git(sent.source, "hash-object", "-w", "--stdin", stdin=str(outside).encode())
    inner = tree(sent.source, ("100644", "file", link))
    top = tree(sent.source, ("120000", "a", link), ("40000", "a", inner))
    blob, commit = hostile_bundle(sent.source, top)
    try:
        await sent.checkout("one", blobs=[blob], commit=commit)
    except CodeFailed:
        assert not (sent.place / "one").exists()
    assert list(outside.iterdir()) == []


async def test_attributes_and_submodules_of_a_tree_run_nothing(sent):
    ran = sent.place / "ran"
    (sent.place / "home" / ".gitconfig").write_text(f'[filter "x"]\n\tsmudge = touch {ran}\n')
    (sent.source / ".gitattributes").write_text("*.py filter=x diff=x merge=x\n")
    (sent.source / ".gitmodules").write_text(
        f'[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "touch {ran}"\n\tupdate = !touch {ran}\n'
    )
    gitlink = f"160000,{sent.base},s"
    git(sent.source, "add", "-A")
    git(sent.source, "update-index", "--add", "--cacheinfo", gitlink)
    blob, commit = hostile_bundle(sent.source, git(sent.source, "write-tree"))
    target = await sent.checkout("one", blobs=[blob], commit=commit)
    assert (target / "s").is_dir() and not ran.exists()


async def test_prune_drops_what_was_unused_for_longest(sent):
    one = await sent.checkout("one")
    (sent.source / "big.py").write_bytes(os.urandom(50_000))
    commit, blobs = sent.send()
    await sent.checkout("two", blobs=blobs, commit=commit)
    for age, entry in enumerate((commit, sent.base, sent.commit)):
        os.utime(sent.cache / "git" / entry, (1e9 - age, 1e9 - age))
    everything = prune(sent.cache, 10**9)
    assert all(has(sent.cache, known) for known in (commit, sent.base, sent.commit))

    for age, entry in enumerate((commit, sent.base, sent.commit)):
        os.utime(sent.cache / "git" / entry, (1e9 - age, 1e9 - age))
    assert 0 < prune(sent.cache, everything - 1) < everything
    assert has(sent.cache, commit) and not has(sent.cache, sent.commit)
    assert prune(sent.cache, 0) == 0
    assert sent.is_whole(await sent.checkout("three", blobs=blobs, commit=commit))
    assert git(one, "status", "--porcelain") == ""
    assert sent.nothing_is_left()


async def test_what_a_kill_left_in_the_cache_is_dropped_after_a_day(sent):
    for name, time in ((".new-old", 1e9), (".new-young", None)):
        (sent.cache / "git" / name / "deep").mkdir(parents=True)
        os.utime(sent.cache / "git" / name, time and (time, time))
    prune(sent.cache, 10**9)
    assert [path.name for path in (sent.cache / "git").iterdir()] == [".new-young"]


def test_removing_what_is_not_there(tmp_path):
    remove(tmp_path / "nothing")


def test_removing_folders_made_read_only(tmp_path):
    deep = tmp_path / "work" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    (tmp_path / "kept").mkdir(mode=0o500)
    os.symlink(tmp_path / "kept", deep / "link")
    for folder in (deep, deep.parent, tmp_path / "work"):
        folder.chmod(0o500)
    code = (
        "import sys, pathlib, evq.agent.sources.workdir as w; w.remove(pathlib.Path(sys.argv[1]))"
    )
    # Root may do everything; without its capabilities it is like anybody.
    plain = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if plain and not shutil.which("setpriv"):
        pytest.skip("root cannot test permissions without setpriv")
    subprocess.run([*plain, sys.executable, "-c", code, str(tmp_path / "work")], check=True)
    assert not (tmp_path / "work").exists()
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o500
