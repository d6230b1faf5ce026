"""An author's disk: repositories made by git, what lies in them, and the agent's copy of it."""

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

from evq.agent.attempts.command import Completed
from evq.agent.sources.workdir import checkout

PERSON = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


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


def add_submodule(repository, source, path):
    local = ("-c", "protocol.file.allow=always")
    git(repository, *local, "submodule", "--quiet", "add", str(source), path)
    git(repository, "commit", "-qm", "submodule")
    git(repository, *local, "submodule", "--quiet", "update", "--init", "--recursive")
