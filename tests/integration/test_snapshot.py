"""What lies on disk is what travels: real repositories, real git, and the agent's own checkout."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from evq.agent.command import Completed
from evq.agent.workdir import checkout
from evq.core.errors import SnapshotRefused
from evq.core.sdk.snapshot import take

PERSON = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "home").mkdir()


def git(folder, *arguments, **variables):
    env = {**os.environ, **PERSON, **variables}
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(path, text="x\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def make_repository(folder, *options):
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main", *options)
    write(folder / "train.py", "print('one')\n")
    write(folder / "lib" / "a.py", "a = 1\n")
    write(folder / "lib" / "b.py", "b = 1\n")
    write(folder / "run.sh", "#!/bin/sh\n")
    write(folder / ".gitignore", "*.log\nout/\n")
    os.symlink("train.py", folder / "link")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    write(folder / "noise.log")
    return folder


@pytest.fixture
def repository(tmp_path):
    return make_repository(tmp_path / "repository")


def on_disk(folder):
    """Every file below `folder` but git's own and the ignored: its mode, and what it holds."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", "out")]
        for name in files + [n for n in folders if os.path.islink(os.path.join(place, n))]:
            path = os.path.join(place, name)
            if name.endswith(".log") or name == ".git":
                continue
            relative = os.fsencode(os.path.relpath(path, folder))
            if os.path.islink(path):
                found[relative] = ("link", os.readlink(path))
            else:
                found[relative] = (os.stat(path).st_mode & 0o100, Path(path).read_bytes())
    return found


def fingerprint(folder):
    """All that can be seen of a folder: names, modes, times and contents.

    But not the times of objects: git renews them on those it would have written again, or reads.
    """
    seen = hashlib.sha256()
    for place, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            path = os.path.join(place, name)
            stat = os.lstat(path)
            renewed = ("/objects/" in path or "sharedindex" in name) and name not in folders
            time = 0 if renewed else stat.st_mtime_ns
            seen.update(os.fsencode(path) + b"%o %d" % (stat.st_mode, time))
            if os.path.isfile(path) and not os.path.islink(path):
                seen.update(Path(path).read_bytes())
    return seen.hexdigest()


def git_tree(folder, scratch):
    """The tree of what lies in `folder`, made by plain git in a repository of its own."""
    if not scratch.exists():
        scratch.mkdir()
        git(scratch, "init", "-q", "--bare")
    at = ("--git-dir", str(scratch), "--work-tree", str(folder))
    git(folder, *at, "add", "-A")
    return git(folder, *at, "write-tree")


async def run(argv, *, cwd, env):
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return Completed(exit_code=process.returncode, output=output.decode(errors="replace"))


async def deliver(snapshot, place):
    """Carry `snapshot` over to an agent with an empty cache and check it out."""
    place.mkdir()
    files = [place / blob.name for blob in snapshot.blobs]
    for blob, file in zip(snapshot.blobs, files, strict=True):
        assert snapshot.write_bundle(blob, file) == file.stat().st_size
    target = place / "work"
    await checkout(files, snapshot.code.snapshot, cache=place / "cache", target=target, run=run)
    return target


def modified(repo):
    write(repo / "train.py", "print('two')\n")


def staged(repo):
    modified(repo)
    git(repo, "add", "train.py")


def staged_then_modified(repo):
    staged(repo)
    write(repo / "train.py", "print('three')\n")


def staged_then_taken_back(repo):
    staged(repo)
    write(repo / "train.py", "print('one')\n")


def untracked(repo):
    write(repo / "new" / "deep" / "model.py")
    write(repo / "empty", "")


def binary(repo):
    write(repo / "weights.bin", bytes(range(256)) * 400)


def renamed(repo):
    git(repo, "mv", "lib/a.py", "lib/z.py")
    os.rename(repo / "lib" / "b.py", repo / "b.py")


def deleted(repo):
    (repo / "train.py").unlink()
    git(repo, "rm", "-q", "lib/a.py")


def deleted_but_kept_on_disk(repo):
    git(repo, "rm", "-q", "--cached", "lib/a.py")


def executable(repo):
    (repo / "run.sh").chmod(0o755)
    write(repo / "new.sh", "#!/bin/sh\n")
    (repo / "new.sh").chmod(0o755)


def links(repo):
    (repo / "link").unlink()
    os.symlink("lib", repo / "link")
    os.symlink("/nowhere/at/all", repo / "dangling")


def odd_names(repo):
    for name in ("a b", "line\nbreak", "größe-模型", "-rf", '"quoted"', "tab\there", ":(glob)*"):
        write(repo / name, name)
    write(repo / "branch.oid zero")
    Path(os.fsdecode(bytes(repo) + b"/latin-\xe9")).write_bytes(b"x")


def folder_became_link(repo):
    os.rename(repo / "lib", repo / "other")
    os.symlink("other", repo / "lib")


def folder_became_file(repo):
    shutil.rmtree(repo / "lib")
    write(repo / "lib", "now a file\n")


def file_became_folder(repo):
    (repo / "train.py").unlink()
    write(repo / "train.py" / "__main__.py")


def meant_to_add(repo):
    write(repo / "soon.py")
    git(repo, "add", "-N", "soon.py")


def assumed_unchanged(repo):
    git(repo, "update-index", "--assume-unchanged", "train.py")
    modified(repo)


def changed_in_the_same_tick(repo):
    """Same size, and the time of the index: only a look inside tells."""
    tick = (repo / ".git" / "index").stat().st_mtime_ns
    os.utime(repo / "train.py", ns=(tick, tick))
    git(repo, "update-index", "--refresh")
    os.utime(repo / ".git" / "index", ns=(tick, tick))
    write(repo / "train.py", "print('ONE')\n")
    os.utime(repo / "train.py", ns=(tick, tick))


def in_conflict(repo):
    git(repo, "checkout", "-q", "-b", "other")
    write(repo / "train.py", "print('theirs')\n")
    git(repo, "commit", "-qam", "theirs")
    git(repo, "checkout", "-q", "main")
    write(repo / "train.py", "print('ours')\n")
    git(repo, "commit", "-qam", "ours")
    subprocess.run(["git", "merge", "-q", "other"], cwd=repo, env={**os.environ, **PERSON})


def on_no_branch(repo):
    git(repo, "checkout", "-q", "--detach")
    modified(repo)


def index_locked(repo):
    modified(repo)
    write(repo / ".git" / "index.lock", "")


def index_lost(repo):
    (repo / ".git" / "index").unlink()


def split_index(repo):
    git(repo, "update-index", "--split-index")
    modified(repo)


def clean(repo):
    pass


CHANGES = [
    *(clean, modified, staged, staged_then_modified, staged_then_taken_back, untracked, binary),
    *(renamed, deleted, deleted_but_kept_on_disk, executable, links, odd_names),
    *(folder_became_link, folder_became_file, file_became_folder, meant_to_add),
    *(assumed_unchanged, changed_in_the_same_tick, in_conflict, on_no_branch),
    *(index_locked, index_lost, split_index),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_the_agent_has_what_the_disk_has(repository, tmp_path, change):
    change(repository)
    before = fingerprint(repository)
    with take(repository, None) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
        assert snapshot.tree == git_tree(repository, tmp_path / "independent")
    assert on_disk(target) == on_disk(repository)
    assert git(target, "status", "--porcelain") == ""
    assert git(target, "rev-parse", "HEAD") == snapshot.code.snapshot
    assert git(target, "rev-parse", "HEAD^{tree}") == snapshot.tree
    assert fingerprint(repository) == before
    assert not list(tmp_path.glob("evq-snapshot-*"))


async def test_a_subfolder_is_remembered_and_the_whole_tree_is_sent(repository, tmp_path):
    write(repository / "lib" / "new.py")
    with take(repository / "lib", Path("a.py")) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert (snapshot.code.folder, snapshot.entry) == ("lib", "lib/a.py")
    assert on_disk(target) == on_disk(repository)


async def test_a_repository_without_a_commit(tmp_path):
    folder = tmp_path / "young"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    write(folder / "train.py")
    with take(folder, Path("train.py")) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert (snapshot.kind, snapshot.code.commit, snapshot.code.branch) == ("git", None, "main")
    assert on_disk(target) == on_disk(folder)


@pytest.mark.parametrize("form", ["shallow", "linked", "sha256", "shared"])
async def test_other_forms_of_repositories(repository, tmp_path, form):
    folder = tmp_path / "other"
    write(repository / "train.py", "print('two')\n")
    git(repository, "commit", "-qam", "two")
    match form:
        case "shallow":
            git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", "other")
        case "linked":
            git(repository, "worktree", "add", "-q", "--detach", str(folder))
        case "sha256":
            make_repository(folder, "--object-format=sha256")
        case "shared":
            git(tmp_path, "clone", "-q", "--shared", str(repository), "other")
    write(folder / "lib" / "a.py", "a = 2\n")
    write(folder / "new.py")
    before = fingerprint(repository), fingerprint(folder)
    with take(folder, None) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert on_disk(target) == on_disk(folder)
    assert (fingerprint(repository), fingerprint(folder)) == before


async def test_an_ignored_entry_travels(repository, tmp_path):
    write(repository / "out" / "job.py")
    with take(repository, Path("out/job.py")) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert (target / "out" / "job.py").exists()


async def test_nested_repositories_and_empty_submodules_are_spoken_of(repository, tmp_path):
    add_submodule(repository, make_repository(tmp_path / "library"), "vendored")
    git(repository, "submodule", "--quiet", "deinit", "-f", "vendored")
    make_repository(repository / "nested")
    with take(repository, None) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert snapshot.submodules == ("vendored",)
    assert [("vendored" in said, "nested/" in said) for said in snapshot.warnings] == [
        (True, False),
        (False, True),
    ]
    assert list((target / "vendored").iterdir()) == []
    assert not (target / "nested").exists()


def add_submodule(repository, source, path):
    local = ("-c", "protocol.file.allow=always")
    git(repository, *local, "submodule", "--quiet", "add", str(source), path)
    git(repository, "commit", "-qm", "submodule")
    git(repository, *local, "submodule", "--quiet", "update", "--init", "--recursive")


async def test_submodules_travel_with_what_changed_in_them(repository, tmp_path):
    library = make_repository(tmp_path / "library")
    add_submodule(library, make_repository(tmp_path / "deepest"), "inner/deepest")
    add_submodule(repository, library, "vendored/library")
    vendored = repository / "vendored" / "library"
    with take(repository, None) as clean:
        pass
    assert len(clean.blobs) == 1 and not clean.warnings and not clean.code.changes

    write(vendored / "train.py", "print('changed')\n")
    write(vendored / "inner" / "deepest" / "new.py")
    write(vendored / "noise.log")
    (vendored / "lib" / "b.py").unlink()
    before = fingerprint(repository)
    with take(repository, None) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert on_disk(target) == on_disk(repository)
    assert snapshot.code.changes == {"modified": 1, "deleted": 1, "untracked": 1}
    assert snapshot.blobs[0] == clean.blobs[0] and len(snapshot.blobs) == 2
    assert not (target / "vendored" / "library" / "noise.log").exists()
    assert git(target, "status", "--porcelain") == ""
    assert fingerprint(repository) == before


async def test_a_submodule_at_another_commit_travels_as_it_lies_there(repository, tmp_path):
    add_submodule(repository, make_repository(tmp_path / "library"), "library")
    write(repository / "library" / "moved.py")
    git(repository / "library", "add", "-A")
    git(repository / "library", "commit", "-qm", "moved on")
    write(repository / "library" / "noise.log")
    with take(repository, None, include=["library/noise.log"]) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert on_disk(target) == on_disk(repository)
    assert (target / "library" / "noise.log").exists()


def test_a_secret_in_a_submodule_is_refused_by_its_whole_path(repository, tmp_path):
    add_submodule(repository, make_repository(tmp_path / "library"), "library")
    write(repository / "library" / ".env")
    with pytest.raises(SnapshotRefused, match=r"library/\.env must not"), take(repository, None):
        pass


def keep_in_lfs(repository, content):
    """Two files in LFS: one whose content is here, and one whose content is not."""
    git(repository, "lfs", "install", "--local")
    write(repository / ".gitattributes", "*.bin filter=lfs -text\n")
    write(repository / "weights.bin", content)
    oid = hashlib.sha256(b"far away").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 8\n"
    write(repository / "other.bin", pointer)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "lfs")


@pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
async def test_files_in_lfs_travel_with_their_content(repository, tmp_path):
    content = os.urandom(100_000)
    keep_in_lfs(repository, content)
    assert git(repository, "status", "--porcelain") == "", "to git nothing has changed"
    with take(repository, None) as clean:
        target = await deliver(clean, tmp_path / "agent")
    assert (target / "weights.bin").read_bytes() == content
    assert len(clean.blobs) == 1, "the content is part of the base, and is sent once"
    assert ["other.bin" in said and "lfs pull" in said for said in clean.warnings] == [True]

    write(repository / "train.py", "print('two')\n")
    with take(repository, None) as snapshot:
        size = snapshot.write_bundle(snapshot.blobs[1], tmp_path / "second")
    assert snapshot.blobs[0] == clean.blobs[0] and size < 2000


async def test_outside_of_repositories_the_script_travels_alone(tmp_path):
    folder = tmp_path / "plain"
    write(folder / "src" / "train.py")
    write(folder / ".env")
    with take(folder, Path("src/train.py")) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert (snapshot.kind, snapshot.code.folder, snapshot.entry) == ("files", ".", "src/train.py")
    assert on_disk(target) == {b"src/train.py": (0, b"x\n")}
    with take(tmp_path / "home", folder / "src" / "train.py") as from_afar:
        assert (from_afar.code.folder, from_afar.entry) == (".", "train.py")


async def test_outside_of_repositories_a_folder_travels_when_asked_for(tmp_path):
    folder = tmp_path / "plain"
    for name in ("train.py", "lib/a.py", "data/big.bin", "x.log", "lib/__pycache__/a.pyc"):
        write(folder / name)
    write(folder / ".evqignore", "data/\n")
    write(folder / ".gitignore", "*.log\n")
    with take(folder, Path("train.py"), include_folder=True) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    expected = {b"train.py", b"lib/a.py", b".evqignore", b".gitignore"}
    assert set(on_disk(target)) == expected
    with take(tmp_path, folder) as named:
        assert named.tree == snapshot.tree
    write(folder / ".env")
    with pytest.raises(SnapshotRefused, match=r"\.env"), take(tmp_path, folder):
        pass


async def test_a_command_outside_of_repositories_has_an_empty_tree(tmp_path):
    (tmp_path / "plain").mkdir()
    with take(tmp_path / "plain", None) as snapshot:
        target = await deliver(snapshot, tmp_path / "agent")
    assert on_disk(target) == {}
