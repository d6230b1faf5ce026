"""Words made to harm: addresses, names of branches, and files that only look like bundles."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from githost import git

from evq.agent.attempts.command import Completed
from evq.agent.sources.credentials import Credentials
from evq.agent.sources.remote import Remote
from evq.agent.sources.workdir import checkout
from evq.core.errors import CodeFailed, UsageError
from evq.core.remotes import beside, parse_address
from evq.core.spec import Command, Repo, Spec, check_spec

ADDRESSES = {
    "option": "--upload-pack=touch {marker}",
    "short-option": "-u./payload",
    "ssh-option": "-oProxyCommand=touch {marker}",
    "ssh-url-with-option": "ssh://-oProxyCommand=touch{marker}/x",
    "ssh-user-with-option": "ssh://-oProxyCommand=x@host/x",
    "short-form-with-option": "git@-oProxyCommand=x:path",
    "path-with-option": "git@host:--upload-pack=x",
    "program": "ext::sh -c touch% {marker}",
    "descriptor": "fd::3,4",
    "file": "file:///etc",
    "folder": "/etc",
    "relative-folder": "./here",
    "folder-above": "../there",
    "helper": "foo::https://host/x",
    "unknown-scheme": "gopher://host/x",
    "ftp": "ftp://host/x",
    "shell-words": "https://host/x;touch {marker}",
    "substitution": "https://host/$(touch {marker})",
    "line-break": "https://host/x\nhttps://host/y",
    "nul": "https://host/x\0y",
    "escape": "https://host/\x1b[2J",
    "query": "https://host/x?service=git",
    "fragment": "https://host/x#y",
    "token": "https://t0ken@host/x",
    "password": "https://user:s3cret@host/x",
    "ssh-password": "ssh://user:s3cret@host/x",
    "dots": "https://host/a/../../x",
    "no-host": "https:///x",
    "no-path": "https://host",
    "empty-path": "https://host/",
    "empty": "",
    "word": "project",
    "capitals": "EXT::sh",
    "windows": "C:\\x",
}

REVISIONS = [
    *("--upload-pack=touch", "-x", "", " ", "a b", "a..b", "a~1", "a^{commit}", "a:b", "@{u}"),
    *("a\nb", "a\0b", "a?", "a*", "[a", "a\\b", "/a", "a/", "a//b", ".a", "a.lock", "a.", "a\x7f"),
]


async def run(argv, *, cwd, env):
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return Completed(exit_code=process.returncode, output=said.decode(errors="replace"))


@pytest.mark.parametrize("name", ADDRESSES)
async def test_an_address(name, tmp_path):
    address = ADDRESSES[name].format(marker=tmp_path / "marker")
    with pytest.raises(UsageError) as refused:
        check_spec(Spec(entry=Command(("true",)), name="x", queue="q", repo=Repo(address)))
    assert "s3cret" not in str(refused.value) and "t0ken" not in str(refused.value)
    # An agent does not trust whoever wrote the event.
    with pytest.raises(CodeFailed):
        await Remote(tmp_path / "cache", Credentials(), run).checkout(
            Repo(address), tmp_path / "work"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", REVISIONS)
@pytest.mark.parametrize("kind", ["branch", "commit"])
async def test_the_name_of_a_branch_or_commit(name, kind, tmp_path):
    repo = Repo("https://127.0.0.1:1/x", **{kind: name})
    with pytest.raises(UsageError):
        check_spec(Spec(entry=Command(("true",)), name="x", queue="q", repo=repo))
    with pytest.raises(CodeFailed, match="cannot be a"):
        await Remote(tmp_path / "cache", Credentials(), run).checkout(repo, tmp_path / "work")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("https://host.example/a/b.git", "host.example", "a/b.git"),
        ("https://host:8443/a", "host", "a"),
        ("http://[::1]:80/a", "[::1]", "a"),
        ("ssh://git@host/a", "host", "a"),
        ("git@host:a/b.git", "host", "a/b.git"),
        ("host:a", "host", "a"),
        ("git://host/a", "host", "a"),
        ("https://host/~user/a+b@c.git", "host", "~user/a+b@c.git"),
    ],
)
def test_good_addresses_are_taken(text, host, path):
    assert (parse_address(text).host, parse_address(text).path) == (host, path)


@pytest.mark.parametrize(
    ("parent", "text", "found"),
    [
        ("https://host/a/b.git", "../c.git", "https://host/a/c.git"),
        ("https://host/a/b.git", "../../c/d.git", "https://host/c/d.git"),
        ("https://host/a/b.git", "./c", "https://host/a/b.git/c"),
        ("git@host:a/b.git", "../c.git", "git@host:a/c.git"),
        ("ssh://git@host:22/a/b", "../c", "ssh://git@host:22/a/c"),
        ("https://host/a", "git@other:x", "git@other:x"),
    ],
)
def test_an_address_beside_another(parent, text, found):
    assert beside(parse_address(parent), text).text == found


def bundles(folder: Path) -> tuple[dict[str, bytes], str]:
    """Files that are no bundles of ours by what is wrong with them, and the commit they claim."""
    git(folder, "init", "-q", "-b", "main", "source")
    source = folder / "source"
    for word in ("one", "two"):
        (source / "file").write_text(word)
        git(source, "add", "-A")
        git(source, "commit", "-qm", word)
    second, first = git(source, "log", "--format=%H").split()
    names = {"first": first, "second": second}
    for name, commit in names.items():
        git(source, "update-ref", f"refs/evq/{commit}", commit)
        git(source, "bundle", "create", "-q", str(folder / name), f"refs/evq/{commit}")
    git(
        source,
        "bundle",
        "create",
        "-q",
        str(folder / "both"),
        *(f"refs/evq/{c}" for c in names.values()),
    )
    wanted = (f"refs/evq/{second}", f"^{first}")
    git(source, "bundle", "create", "-q", str(folder / "needy"), *wanted)
    whole = (folder / "second").read_bytes()
    head, _, pack = whole.partition(b"\n\n")
    return {
        "nothing": b"",
        "noise": bytes(range(256)) * 300,
        "no-pack": head + b"\n\n",
        "torn": whole[:-40],
        "changed": whole[:-60] + bytes(8) + whole[-52:],
        "endless-header": b"# v2 git bundle\n" + b"-" * 200_000,
        "unknown-version": whole.replace(b"# v2", b"# v9"),
        "filtered": whole.replace(b"# v2 git bundle\n", b"# v3 git bundle\n@filter=blob:none\n"),
        "two-commits": (folder / "both").read_bytes(),
        "needs-what-is-not-there": (folder / "needy").read_bytes(),
        "needs-an-option": whole.replace(b"bundle\n", b"bundle\n---upload-pack=touch\n"),
        "name-that-leads-away": head.replace(b"refs/evq/", b"../../evq/") + b"\n\n" + pack,
        "name-with-return": head + b"\r\n\n" + pack,
        "pack-of-another": head + b"\n\n" + (folder / "first").read_bytes().partition(b"\n\n")[2],
    }, second


HARMLESS = {"name-that-leads-away", "name-with-return"}
"""A reference's name is never used, so what stands in it does not matter."""


async def test_files_that_only_look_like_bundles(tmp_path):
    files, commit = bundles(tmp_path)
    for name, content in files.items():
        place = tmp_path / f"case-{name}"
        place.mkdir()
        (place / "blob").write_bytes(content)
        target = place / "target"
        try:
            await checkout([place / "blob"], commit, cache=place / "cache", target=target, run=run)
            assert name in HARMLESS, name
            assert (target / "file").read_text() == "two"
        except CodeFailed as failed:
            assert failed.why and not target.exists(), name
        assert {path.name for path in place.iterdir()} <= {"blob", "cache", "target"}, name
        assert not list(place.glob("cache/git/.*")), name
