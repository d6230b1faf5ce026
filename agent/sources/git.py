"""Git as an agent runs it: it executes nothing that a repository brings, and asks nobody.

The configuration that counts stands on the command line; of the machine's, the user's and a
repository's own nothing is read but what says where its objects are.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...core.errors import CodeFailed
from ...core.sdk.git import QUIET
from ..attempts.command import Completed, Run

SAFE = (
    *QUIET,
    *("-c", "core.protectHFS=true"),
    *("-c", "core.protectNTFS=true"),
    *("-c", "transfer.fsckObjects=true"),
    *("-c", "transfer.bundleURI=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "checkout.workers=0"),
)
"""Options before the verb, for every call."""

LOCAL = ("-c", "protocol.file.allow=always")
"""More of them, to read a bundle from the disk."""

_PASSED_ON = (
    *("PATH", "TMPDIR", "SSH_AUTH_SOCK"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "no_proxy", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"),
)


def environment() -> dict[str, str]:
    """All that git may see: no home, so no configuration but what stands on its command line."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": os.defpath,
        **passed,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


async def try_git(
    run: Run,
    cwd: Path,
    *arguments: str,
    also: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    file_bytes: int | None = None,
) -> Completed:
    """Run git in `cwd`, and hand back how it ended.

    `also` are options before the verb, `variables` are added to its environment. No file that it
    writes may grow beyond `file_bytes`.
    """
    argv = ["git", *SAFE, *also, *arguments]
    if file_bytes is not None:
        # POSIX counts the limit of a file's size in blocks of 512 bytes. Where it cannot be set
        # there is a lower one already.
        argv = ["sh", "-c", 'ulimit -f "$0" 2>/dev/null; exec "$@"', str(file_bytes // 512), *argv]
    # A repository that the cache happens to lie in has no say either.
    above = {"GIT_CEILING_DIRECTORIES": str(cwd.parent)}
    return await run(argv, cwd=cwd, env={**environment(), **above, **(variables or {})})


async def run_git(run: Run, top: Path, *arguments: str, also: Sequence[str] = ()) -> None:
    """Run git on the work tree `top`. Raises `CodeFailed` in git's own words."""
    git_dir = ("--git-dir", str(top / ".git"), "--work-tree", str(top))
    done = await try_git(run, top, *arguments, also=(*also, *git_dir))
    if done.exit_code != 0:
        why = "; ".join(done.output.strip().splitlines()[-3:])
        raise damaged(why or f"git {arguments[0]} ended with {done.exit_code}")


async def read_tree(run: Run, top: Path, commit: str) -> None:
    """Write the files of `commit` into the work tree `top`, whose repository has it."""
    # Not `reset` nor `checkout`: those write a log of HEAD, and ask the network for the name
    # of this host to sign it.
    await run_git(run, top, "read-tree", "-m", "-u", commit)


def damaged(why: str) -> CodeFailed:
    """The error for code that did not arrive whole."""
    return CodeFailed(
        "the task's code cannot be put in place",
        why=why,
        fix="enqueue the task again from its work tree, which sends the code anew",
    )


def link_packs(packs: Path, repository: Path) -> None:
    """Give `repository` the files in `packs`, without a copy where the file system allows."""
    for pack in packs.glob("pack-*"):
        place = repository / "objects" / "pack" / pack.name
        try:
            os.link(pack, place)
        except FileExistsError:
            continue  # two commits may share a pack
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            shutil.copyfile(pack, place)


async def query(repository: Path, *arguments: str) -> tuple[int, str]:
    """The exit status and the answer of git about `repository`, which is a question of no time.

    Not by `Run`: the answer is for us, and has no place in the task's log.
    """
    process = await asyncio.create_subprocess_exec(
        *("git", *SAFE, "--git-dir", str(repository), *arguments),
        cwd=repository.parent,
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    said, _ = await process.communicate()
    return await process.wait(), os.fsdecode(said)
