"""Files of remotes that are in LFS, and remotes that are too big."""

import os
import shutil
from functools import partial

import pytest
from githost import git, pointer
from remoteplace import logins, spoken

from evq.agent.caches import caches_of, prune, surplus
from evq.agent.environments.locks import try_hold
from evq.agent.sources import bounds
from evq.agent.sources.keeping import lock_of
from evq.agent.sources.keeping import place as folder_of
from evq.core.errors import CodeFailed

# --- LFS ---------------------------------------------------------------------------------------

needs_lfs = pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed")
DATA = b"weights " * 1000


def commit_lfs(place, host):
    (place.root / "lfs").mkdir(exist_ok=True)
    name = pointer(DATA).decode().split("sha256:")[1].split()[0]
    (place.root / "lfs" / name).write_bytes(DATA)
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    return place.commit("l", {".gitattributes": attributes, "w.bin": pointer(DATA)})


@needs_lfs
async def test_files_in_lfs_have_their_content(place, guarded):
    commit_lfs(place, guarded)
    url = f"{guarded.url}/project.git"
    placed = await place.checkout(url, "a", logins=logins(guarded))
    assert placed.lfs_files == 1 and (place.folder / "a" / "w.bin").read_bytes() == DATA
    asked = len(guarded.asked)
    again = await place.checkout(url, "b", logins=logins(guarded), pinned=placed.commit)
    assert again.cached and (place.folder / "b" / "w.bin").read_bytes() == DATA
    assert len(guarded.asked) == asked, "what was fetched once is not asked for again"
    assert "s3cret" not in spoken(place)


@needs_lfs
async def test_files_that_the_lfs_server_lacks(place, host):
    commit_lfs(place, host)
    shutil.rmtree(place.root / "lfs")
    with pytest.raises(CodeFailed):
        await place.checkout(f"{host.url}/project.git")
    assert place.nothing_is_left()


async def test_without_git_lfs_pointers_are_refused_unless_wanted(place, host, monkeypatch):
    commit_lfs(place, host)
    monkeypatch.setattr("evq.agent.sources.lfs.shutil.which", lambda name: None)
    with pytest.raises(CodeFailed, match="git-lfs is not installed") as failed:
        await place.checkout(f"{host.url}/project.git", "a")
    assert "--no-lfs" in failed.value.fix and "w.bin" in failed.value.why
    await place.checkout(f"{host.url}/project.git", "a", lfs=False)
    assert (place.folder / "a" / "w.bin").read_bytes() == pointer(DATA)


# --- bounds ------------------------------------------------------------------------------------


async def test_a_pack_beyond_the_bounds_is_not_fetched(place, host, monkeypatch):
    place.commit("big", {"big.bin": os.urandom(400_000)})
    monkeypatch.setattr(bounds, "MAX_BYTES", 100_000)
    with pytest.raises(CodeFailed, match="too big"):
        await place.checkout(f"{host.url}/project.git")
    assert place.nothing_is_left() and not (place.folder / "work").exists()
    packed = sum(path.stat().st_size for path in place.cache.rglob("*") if path.is_file())
    assert packed < 100_000


# --- what is kept ------------------------------------------------------------------------------


async def test_mirrors_are_listed_and_pruned_but_not_while_fetched_into(place, host):
    place.commit("x", {"x": os.urandom(50_000)}, place.repository("other"))
    used, other = f"{host.url}/project.git", f"{host.url}/other.git"
    await place.checkout(other, "a")
    await place.checkout(used, "b")
    (mirrors,) = (cache for cache in caches_of(place.cache) if cache.kind == "mirrors")
    entries = {entry.name: entry for entry in mirrors.entries()}
    assert entries.keys() == {used, other} and entries[other].bytes > 50_000
    with try_hold(lock_of(folder_of(place.cache, other)), shared=False):
        assert {one.name: one.in_use for one in mirrors.entries()} == {used: False, other: True}
        assert not mirrors.remove(other)
    gone = prune([mirrors], partial(surplus, total=entries[used].bytes, kinds={}))
    assert [entry.name for entry in gone] == [other]
    assert git(place.folder / "a", "fsck", "--full") == ""
    assert (await place.checkout(used, "c")).commit == place.first
