"""What is said of the code that travels, and what is refused to travel."""

import os
import subprocess
from pathlib import Path

import pytest

from evq.core.errors import SnapshotRefused
from evq.core.sdk.snapshot import take

PERSON = ("-c", "user.name=A", "-c", "user.email=a@example.org")


def git(folder, *arguments):
    done = subprocess.run(
        ["git", *PERSON, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def write(path, text="x\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def make_repository(folder):
    write(folder / "train.py", "print('one')\n")
    write(folder / "lib" / "a.py")
    write(folder / ".gitignore", "*.log\nout/\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "one")
    return folder


@pytest.fixture
def repository(tmp_path):
    return make_repository(tmp_path / "repository")


def sent(snapshot):
    """The names of all files that travel."""
    listed = snapshot.work.git_of_store("ls-tree", "-r", "-z", "--name-only", snapshot.tree)
    return set(listed.split("\0")) - {""}


def test_where_the_code_came_from(repository, tmp_path):
    origin = tmp_path / "origin"
    git(tmp_path, "clone", "-q", "--bare", str(repository), "origin")
    git(repository, "remote", "add", "origin", str(origin))
    git(repository, "fetch", "-q")
    git(repository, "config", "remote.origin.url", "https://me:token@example.org/a/b.git?key=1")
    write(repository / "train.py", "print('two')\n")
    git(repository, "commit", "-qam", "two")
    write(repository / "train.py", "print('three')\n")
    git(repository, "add", "train.py")
    write(repository / "train.py", "print('four')\n")
    (repository / "lib" / "a.py").unlink()
    write(repository / "new.py")
    write(repository / "lib" / "new.py")
    with take(repository, Path("train.py")) as snapshot:
        code = snapshot.code
    assert code.commit == git(repository, "rev-parse", "HEAD")
    assert (code.branch, code.remote, code.unpushed) == (
        "main",
        "https://example.org/a/b.git",
        1,
    )
    assert code.changes == {"staged": 1, "modified": 1, "deleted": 1, "untracked": 2}
    assert snapshot.warnings == ()


def test_without_a_remote_nothing_is_said_of_pushes(repository):
    with take(repository, None) as snapshot:
        assert (snapshot.code.remote, snapshot.code.unpushed) == (None, None)


def test_the_same_content_has_the_same_name_everywhere(repository, tmp_path):
    write(repository / "train.py", "print('two')\n")
    with take(repository, None) as first, take(repository, None) as again:
        assert first.code == again.code
    git(repository, "add", "-A")
    with take(repository / "lib", None) as staged_now:
        assert staged_now.blobs == first.blobs
    elsewhere = make_repository(tmp_path / "elsewhere")
    write(elsewhere / "train.py", "print('two')\n")
    with take(elsewhere, None) as other:
        assert other.blobs == first.blobs


def test_a_clean_tree_is_one_bundle_and_stays_the_base_of_changes(repository):
    with take(repository, None) as clean_one:
        [base] = clean_one.blobs
    write(repository / "train.py", "print('two')\n")
    with take(repository, None) as changed:
        assert changed.blobs[0] == base
        assert changed.blobs[1].base == base.tip


def test_nothing_is_packed_before_it_is_asked_for(repository):
    with take(repository, None) as snapshot:
        assert not list(snapshot.work.store.rglob("*.pack"))


def test_history_does_not_travel(repository, tmp_path):
    write(repository / "password.txt", "hunter2\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "oops")
    secret = git(repository, "rev-parse", "HEAD:password.txt")
    git(repository, "rm", "-q", "password.txt")
    git(repository, "commit", "-qm", "never mind")
    with take(repository, None) as snapshot:
        [blob] = snapshot.blobs
        snapshot.write_bundle(blob, tmp_path / "out")
    git(tmp_path, "clone", "-q", "--bare", "out", "clone")
    objects = git(tmp_path / "clone", "cat-file", "--batch-all-objects", "--batch-check")
    assert secret not in objects


def test_neither_hooks_nor_settings_nor_the_caller_count(repository, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    for hook in ("pre-commit", "post-index-change", "reference-transaction", "fsmonitor"):
        write(repository / ".git" / "hooks" / hook, f"#!/bin/sh\ntouch '{ran}'\n")
        (repository / ".git" / "hooks" / hook).chmod(0o755)
    with take(repository, None) as plain:
        pass
    git(repository, "config", "core.fsmonitor", str(repository / ".git" / "hooks" / "fsmonitor"))
    git(repository, "config", "commit.gpgSign", "true")
    git(repository, "config", "i18n.commitEncoding", "latin1")
    git(repository, "config", "status.showUntrackedFiles", "no")
    git(repository, "config", "status.renames", "copies")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    with take(repository, None) as snapshot:
        assert snapshot.blobs == plain.blobs
    assert not ran.exists()


@pytest.mark.parametrize(
    "name", [".env", "conf/.env.local", "id_ed25519", "deploy.pem", "aws/credentials", ".netrc"]
)
def test_secrets_are_refused_by_name(repository, name):
    write(repository / name)
    with pytest.raises(SnapshotRefused) as refused, take(repository, Path("train.py")):
        pass
    assert refused.value.what == f"{name} must not be sent with the task"
    assert f"/{name} to .gitignore" in refused.value.fix
    assert refused.value.fix.endswith(f"--include {name}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".npmrc", "//registry.example/:_authToken=abc\n"),
        ("robot.json", '{"type": "service_account", "private_key": "-----BEGIN"}'),
    ],
)
def test_secrets_are_refused_by_what_is_in_them(repository, name, text):
    write(repository / name, text)
    with pytest.raises(SnapshotRefused, match=name), take(repository, None):
        pass


def test_a_secret_may_be_tracked_ignored_included_or_an_example(repository):
    write(repository / ".env.example")
    write(repository / "tracked.pem")
    git(repository, "add", "tracked.pem")
    write(repository / "out" / ".env")
    write(repository / "wanted.key")
    write(repository / "noise.log")
    with take(repository / "lib", None, include=["../wanted.key", "../noise.log"]) as snapshot:
        names = sent(snapshot)
    assert {".env.example", "tracked.pem", "wanted.key", "noise.log"} <= names
    assert "out/.env" not in names


def test_an_included_folder_brings_its_ignored_files_but_no_secret(repository):
    write(repository / "out" / "best.pt")
    with take(repository, None, include=["out"]) as snapshot:
        assert snapshot.code.changes == {"untracked": 1}
    write(repository / "out" / ".env")
    with (
        pytest.raises(SnapshotRefused, match=r"out/\.env"),
        take(repository, None, include=["out"]),
    ):
        pass


def test_big_files_are_refused_by_name(repository):
    write(repository / "weights.bin", bytes(2000))
    write(repository / "more.bin", bytes(1500))
    with pytest.raises(SnapshotRefused) as refused, take(repository, None, max_file=1000):
        pass
    assert "more.bin" in str(refused.value) and "weights.bin" in str(refused.value)
    together = pytest.raises(SnapshotRefused, match=r"together.*weights\.bin")
    with together, take(repository, None, max_total=3000):
        pass
    with take(repository, None, include=["weights.bin", "more.bin"], max_file=1000):
        pass


def test_a_tree_too_big_is_refused_before_it_is_packed(repository, tmp_path):
    write(repository / "data.bin", os.urandom(50_000))
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "data")
    too_big = pytest.raises(SnapshotRefused, match="too big")
    with take(repository, None, max_total=40_000) as snapshot, too_big:
        snapshot.write_bundle(snapshot.blobs[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_filter_is_named(repository):
    write(repository / ".gitattributes", "*.bin filter=vault\n")
    git(repository, "config", "filter.vault.clean", "no-such-program-anywhere")
    git(repository, "config", "filter.vault.required", "true")
    write(repository / "weights.bin")
    with pytest.raises(SnapshotRefused, match="'vault'"), take(repository, None):
        pass


@pytest.mark.parametrize("entry", ["../elsewhere.py", "gone.py"])
def test_an_entry_that_cannot_travel_is_refused(repository, tmp_path, entry):
    write(tmp_path / "elsewhere.py")
    with pytest.raises(SnapshotRefused, match=Path(entry).name), take(repository, Path(entry)):
        pass


def test_without_git_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SnapshotRefused, match="git is not installed"), take(tmp_path, None):
        pass
