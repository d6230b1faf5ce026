"""What lies on disk is what travels: real repositories, real git, and the agent's own checkout."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from disk import (
    PERSON,
    add_submodule,
    deliver,
    fingerprint,
    git,
    git_tree,
    make_repository,
    on_disk,
    write,
)

from evq.core.errors import SnapshotRefused
from evq.core.sdk.snapshot import take


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
