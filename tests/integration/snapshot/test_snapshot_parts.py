"""Code that is more than one repository, or more than git stores: submodules, files in LFS."""

import hashlib
import os
import shutil

import pytest
from disk import add_submodule, deliver, fingerprint, git, make_repository, on_disk, write

from evq.core.errors import SnapshotRefused
from evq.core.sdk.snapshot import take


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
