"""Code of remotes on an agent: mirrors, submodules, LFS, logins, and what is said when it fails."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from githost import HttpHost, SshHost, certificate, git, git_daemon, sshd
from remoteplace import logins, spoken

from evq.agent.sources.credentials import Credentials
from evq.agent.sources.mirror import discard
from evq.core.errors import CodeFailed
from evq.core.remotes import parse_address


async def test_a_branch_a_tag_and_a_commit(place, host):
    url = f"{host.url}/project.git"
    git(place.work, "tag", "-a", "v1", "-m", "one")
    second = place.commit("two", {"train.py": "print('two')\n"})
    git(place.work, "checkout", "-qb", "topic/x")
    third = place.commit("three", {"train.py": "print('three')\n"})

    async def ran(name, **which):
        placed = await place.checkout(url, name, **which)
        work = place.folder / name
        assert git(work, "rev-parse", "HEAD") == placed.commit
        assert git(work, "status", "--porcelain") == ""
        assert git(work, "log", "--format=%H") == placed.commit
        return placed.commit, (work / "train.py").read_text()

    assert await ran("a") == (second, "print('two')\n")
    assert await ran("b", branch="topic/x") == (third, "print('three')\n")
    assert await ran("c", commit="v1") == (place.first, "print('one')\n")
    assert await ran("d", commit=place.first) == (place.first, "print('one')\n")
    assert await ran("e", commit="topic/x") == (third, "print('three')\n")
    assert await ran("f", commit=second[:9]) == (second, "print('two')\n")
    assert place.nothing_is_left()


async def test_a_repository_that_names_its_objects_by_sha256(place, host):
    how = ("init", "-q", "-b", "main", "--object-format=sha256")
    git(place.folder, *how, "--bare", str(place.root / "long.git"))
    git(place.folder, *how, str(place.folder / "author-long"))
    git(place.folder / "author-long", "remote", "add", "origin", str(place.root / "long.git"))
    commit = place.commit("x", {"x": "x\n"}, place.folder / "author-long")
    placed = await place.checkout(f"{host.url}/long.git")
    assert placed.commit == commit and len(commit) == 64
    assert git(place.folder / "work", "status", "--porcelain") == ""


async def test_the_beginning_of_an_id_that_only_the_history_knows(place, host):
    place.commit("two", {"train.py": "print('two')\n"})
    placed = await place.checkout(f"{host.url}/project.git", commit=place.first[:8])
    assert placed.commit == place.first and place.nothing_is_left()


async def test_a_known_commit_needs_no_network(place, host):
    url = f"{host.url}/project.git"
    first = await place.checkout(url, "a", commit=place.first)
    asked = len(host.asked)
    second = await place.checkout(url, "b", commit=place.first)
    third = await place.checkout(url, "c", pinned=place.first)
    assert (first.cached, second.cached, third.cached) == (False, True, True)
    assert len(host.asked) == asked
    assert not (await place.checkout(url, "d")).cached, "a branch is asked for"


async def test_a_new_commit_sends_only_what_is_new(place, host):
    url = f"{host.url}/project.git"
    place.commit("big", {"big.bin": os.urandom(300_000)})
    await place.checkout(url, "a")
    place.commit("two", {"train.py": "print('two')\n"})
    await place.checkout(url, "b")
    (mirror,) = (path for path in (place.cache / "mirrors").iterdir() if path.is_dir())
    sizes = sorted(path.stat().st_size for path in (mirror / "objects" / "pack").glob("*.pack"))
    assert len(sizes) == 2 and sizes[0] < 2000 and sizes[1] > 300_000


async def test_many_packs_are_made_one_and_work_trees_stay_whole(place, host, monkeypatch):
    monkeypatch.setattr("evq.agent.sources.mirror.PACKS", 3)
    url = f"{host.url}/project.git"
    for number in range(5):
        place.commit("more", {f"f{number}": f"{number}\n"})
        await place.checkout(url, f"w{number}")
    (mirror,) = (path for path in (place.cache / "mirrors").iterdir() if path.is_dir())
    assert len(list((mirror / "objects" / "pack").glob("*.pack"))) < 4
    assert (await place.checkout(url, "again", commit=place.first)).cached is False
    assert git(place.folder / "w0", "fsck", "--full") == ""


async def test_a_work_tree_stands_without_the_mirror(place, host):
    await place.checkout(f"{host.url}/project.git", "a")
    for folder in (place.cache / "mirrors").iterdir():
        if folder.is_dir():
            discard(folder)
    work = place.folder / "a"
    assert git(work, "fsck", "--full") == "" and git(work, "status", "--porcelain") == ""
    assert (await place.checkout(f"{host.url}/project.git", "b")).cached is False


async def test_a_damaged_mirror_is_forgotten_and_fetched_anew(place, host):
    url = f"{host.url}/project.git"
    await place.checkout(url, "a", commit=place.first)
    shutil.rmtree(place.folder / "a")
    for pack in (place.cache / "mirrors").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"PACK" + bytes(200))
    with pytest.raises(CodeFailed):
        await place.checkout(url, "a", commit=place.first)
    assert (await place.checkout(url, "a", commit=place.first)).commit == place.first
    assert place.nothing_is_left()


async def test_what_a_killed_fetch_left_is_in_nobodys_way(place, host):
    url = f"{host.url}/project.git"
    await place.checkout(url, "a")
    (mirror,) = (path for path in (place.cache / "mirrors").iterdir() if path.is_dir())
    for half in ("shallow.lock", "objects/pack/tmp_pack_x", "refs/arrived/x.lock"):
        (mirror / half).write_text("half")
    second = place.commit("two", {"train.py": "print('two')\n"})
    assert (await place.checkout(url, "b")).commit == second
    assert not list(mirror.rglob("*.lock")) and not list(mirror.rglob("tmp_*"))


async def test_four_at_once_fetch_once(place, host):
    url = f"{host.url}/project.git"
    which = {"commit": place.first}
    await asyncio.gather(*(place.checkout(url, f"w{n}", **which) for n in range(4)))
    fetches = [line for line in host.asked if line.startswith("POST")]
    assert len(fetches) == 1
    assert place.nothing_is_left()


async def test_submodules_in_submodules_by_relative_addresses(place, host):
    inner = place.repository("inner")
    place.commit("i", {"inner.txt": "inner\n"}, inner)
    lib = place.repository("lib")
    git(lib, "submodule", "add", "-q", "--name", "x", str(place.root / "inner.git"), "deep/inner")
    git(lib, "config", "-f", ".gitmodules", "submodule.x.url", "../inner.git")
    lib_commit = place.commit("l", {"lib.txt": "lib\n"}, lib)
    git(place.work, "submodule", "add", "-q", str(place.root / "lib.git"), "vendor/lib")
    git(place.work, "config", "-f", ".gitmodules", "submodule.vendor/lib.url", "../lib.git")
    place.commit("sub", {"a": "a\n"})
    place.commit("moved on", {"lib.txt": "newer\n"}, lib)

    placed = await place.checkout(f"{host.url}/project.git", "w")
    work = place.folder / "w"
    assert (placed.submodules, placed.cached) == (2, False)
    assert (work / "vendor/lib/lib.txt").read_text() == "lib\n"
    assert (work / "vendor/lib/deep/inner/inner.txt").read_text() == "inner\n"
    assert git(work / "vendor/lib", "rev-parse", "HEAD") == lib_commit
    assert git(work, "status", "--porcelain") == ""
    assert "2 submodules" in placed.summary
    again = await place.checkout(f"{host.url}/project.git", "v", pinned=placed.commit)
    assert again.cached


# --- logins ------------------------------------------------------------------------------------


async def test_a_token_opens_its_host_and_is_never_shown(place, guarded):
    placed = await place.checkout(f"{guarded.url}/project.git", logins=logins(guarded))
    assert placed.commit == place.first and "user:s3cret" in guarded.heard
    assert "s3cret" not in spoken(place)
    assert not [path for path in place.cache.rglob("*") if b"s3cret" in _bytes(path)]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


async def test_logins_in_the_file_of_gits_own_store(place, guarded):
    file = place.folder / "logins"
    file.write_text(f"https://a:b@elsewhere\nhttp://user:s3cr%65t@{guarded.place}\n")
    credentials = Credentials(file=file)
    placed = await place.checkout(f"{guarded.url}/project.git", logins=credentials)
    assert placed.commit == place.first and "s3cret" not in spoken(place)
    assert "s3cr%65t" in file.read_text(), "a file of the admin is only read"


async def test_a_submodule_elsewhere_does_not_get_the_token(place, guarded):
    other = HttpHost(place.root)
    place.commit("x", {"x": "x\n"}, place.repository("other"))
    git(place.work, "submodule", "add", "-q", str(place.root / "other.git"), "o")
    git(place.work, "config", "-f", ".gitmodules", "submodule.o.url", f"{other.url}/other.git")
    place.commit("sub", {"a": "a\n"})
    try:
        placed = await place.checkout(f"{guarded.url}/project.git", logins=logins(guarded))
    finally:
        other.close()
    assert placed.submodules == 1 and other.asked and other.heard == []


@pytest.mark.parametrize("token", [None, "user:wrong"])
async def test_a_login_that_is_refused(place, guarded, token):
    credentials = logins(guarded, token) if token else Credentials()
    with pytest.raises(CodeFailed, match="refuses the agent access") as failed:
        await place.checkout(f"{guarded.url}/project.git", logins=credentials)
    assert guarded.token_name in failed.value.fix and "wrong" not in str(failed.value)
    assert place.nothing_is_left()


async def test_https_with_a_certificate_of_ones_own(place, monkeypatch):
    cert = certificate(place.folder)
    served = HttpHost(place.root, ("user", "s3cret"), cert)
    try:
        with pytest.raises(CodeFailed, match="certificate"):
            await place.checkout(f"{served.url}/project.git", logins=logins(served))
        monkeypatch.setenv("GIT_SSL_CAINFO", str(place.folder / "cert.pem"))
        placed = await place.checkout(f"{served.url}/project.git", logins=logins(served))
    finally:
        served.close()
    assert placed.commit == place.first


@pytest.mark.skipif(sshd() is None, reason="no sshd that this user may start")
async def test_ssh_with_a_key_and_known_hosts(place):
    (place.folder / "ssh").mkdir()
    host = SshHost(place.folder / "ssh")
    url = f"{host.url}{place.root}/project.git"
    try:
        placed = await place.checkout(url, logins=Credentials(ssh=host.command()))
        assert placed.commit == place.first
        with pytest.raises(CodeFailed, match="host key") as failed:
            await place.checkout(url, "x", logins=Credentials(ssh=host.command(known="nobody")))
        assert "ssh-keyscan" in failed.value.fix
        with pytest.raises(CodeFailed, match="refuses the agent access"):
            await place.checkout(url, "x", logins=Credentials(ssh=host.command(key="host")))
    finally:
        host.close()


def test_one_host_by_https_or_by_ssh():
    ssh, https = parse_address("git@code.example:a/b.git"), parse_address("https://code.example/a")
    token = {"EVQ_GIT_TOKEN_CODE_EXAMPLE": "t0ken"}

    def text(address, **settings):
        return Credentials(**settings).access(address).address.text

    assert text(ssh) == ssh.text and text(https) == https.text
    assert text(ssh, environment=token) == "https://code.example/a/b.git"
    assert text(ssh, environment=token, protocol="keep") == ssh.text
    assert text(https, protocol="ssh") == "ssh://git@code.example/a"
    access = Credentials(environment=token).access(https)
    assert access.variables["EVQ_GIT_PASSWORD"] == "t0ken"
    assert "t0ken" not in " ".join(access.options)


# --- what is said ------------------------------------------------------------------------------


async def test_what_is_not_there_is_told_with_what_is(place, host):
    url = f"{host.url}/project.git"
    git(place.work, "checkout", "-qb", "develop")
    place.commit("d", {"d": "d\n"})
    git(place.work, "tag", "v1.0")
    git(place.work, "push", "-q", "--tags", "origin")
    for which, what in (
        ({"branch": "devlop"}, "did you mean 'develop'"),
        ({"commit": "v1.1"}, "did you mean 'v1.0'"),
        ({"commit": "0" * 40}, "does not have the commit|has no commit"),
        ({"commit": "0123abc"}, "no commit or tag '0123abc'"),
    ):
        with pytest.raises(CodeFailed, match=what) as failed:
            await place.checkout(url, **which)
        assert failed.value.fix and place.nothing_is_left()
    with pytest.raises(CodeFailed, match="no repository"):
        await place.checkout(f"{host.url}/nothing.git")
    with pytest.raises(CodeFailed, match="out of reach"):
        await place.checkout("http://127.0.0.1:1/x.git")
    with pytest.raises(CodeFailed, match="out of reach"):
        await place.checkout("https://no-such-host.invalid/x.git")


async def test_git_daemon(place):
    with git_daemon(place.root) as url:
        assert (await place.checkout(f"{url}/project.git")).commit == place.first
        with pytest.raises(CodeFailed, match="no repository"):
            await place.checkout(f"{url}/nothing.git", "b")


async def test_a_server_that_gives_only_what_it_lists(place, host, monkeypatch):
    """Old servers refuse a commit by its id unless it is the tip of a branch."""
    monkeypatch.setattr(
        "evq.agent.sources.mirror._QUIET",
        ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
    )
    monkeypatch.setattr("evq.agent.sources.git.SAFE", (*_safe(), "-c", "protocol.version=0"))
    second = place.commit("two", {"train.py": "print('two')\n"})
    placed = await place.checkout(f"{host.url}/project.git", "a", commit=place.first)
    assert placed.commit == place.first
    assert (await place.checkout(f"{host.url}/project.git", "b", commit=second)).commit == second
    assert git(place.folder / "a", "status", "--porcelain") == ""
    with pytest.raises(CodeFailed, match="no commit"):
        await place.checkout(f"{host.url}/project.git", "c", commit="1" * 40)


def _safe():
    from evq.agent.sources.git import SAFE

    return SAFE
