"""What a task asks its agent for: what `evq.save`, `evq.load` and `evq.port` stand on.

Like `task.py`, beside which an agent puts it, it uses the standard library only and runs on any
Python 3. A file's content does not go through the agent's socket: its descriptor does. So the
agent reads and writes what the task has opened, also inside a container, and nothing else:

    {"ask": 1, "file": true, "save": {"name": "model.pt"}}      with the descriptor of the file
    {"ask": 2, "file": true, "load": {"task": "k3f9", "name": "model.pt"}}  … of an empty one
    {"ask": 3, "port": true}                                                without any

The answer is a line, too: `{"answer": 1, "saved": {…}}`, or with `error`.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import socket
import stat
import tarfile
import tempfile
from contextlib import suppress
from typing import Any, BinaryIO

PIECE = 1024 * 1024
NOT_FOUND = "E03"


def save(path: str, name: str) -> None:
    """Give the agent what lies at `path`, and return when it is stored and told of."""
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            ask({"save": {"name": name}}, file)
        return
    with tempfile.TemporaryFile(dir=_roomy()) as archive:
        pack(path, archive)
        archive.flush()
        ask({"save": {"name": name, "folder": True}}, archive)


def load(wanted: dict[str, Any], target: str) -> None:
    """Have the agent fetch what is `wanted`, and put it in place when it is whole."""
    folder = os.path.dirname(os.path.abspath(target))
    os.makedirs(folder, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=".load-", dir=folder)
    try:
        with open(descriptor, "w+b") as file:
            loaded = ask({"load": wanted}, file)["loaded"]
        put_in_place(partial, target, loaded["folder"])
    finally:
        with suppress(FileNotFoundError):
            os.unlink(partial)


def name_of(path: str) -> str:
    """What a file is called if nothing is said: its path below the current folder, or its name."""
    relative = os.path.relpath(path)
    if os.path.isabs(path) or relative.split(os.sep)[0] in (os.pardir, os.curdir):
        return os.path.basename(os.path.abspath(path))
    return relative.replace(os.sep, "/")


def ask(words: dict[str, Any], file: BinaryIO | None = None) -> dict[str, Any]:
    """The agent's answer. Raises FileNotFoundError or RuntimeError if it is a refusal."""
    line = json.dumps({"ask": 1, "file": file is not None, **words}).encode() + b"\n"
    descriptors = array.array("i", [file.fileno()] if file else [])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if file else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        try:
            agent.connect(os.environ["EVQ_SOCKET"])
            sent = agent.sendmsg([line], rights)
            agent.sendall(line[sent:])
            with agent.makefile("rb") as said:
                answer = said.readline()
        except OSError as error:
            raise RuntimeError(f"the agent of this task cannot be reached: {error}") from error
    if not answer:
        raise RuntimeError("the agent of this task has let it go")
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        kind = FileNotFoundError if found["error"]["code"] == NOT_FOUND else RuntimeError
        raise kind(found["error"]["text"])
    return found


def put_in_place(partial: str, target: str, folder: bool) -> None:
    """Make `target` of a whole content: a file replaces what is there, a folder only nothing."""
    if not folder:
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, target)
        return
    fresh = tempfile.mkdtemp(prefix=".load-", dir=os.path.dirname(os.path.abspath(target)))
    try:
        with open(partial, "rb") as archive:
            unpack(archive, fresh)
        os.chmod(fresh, 0o777 & ~_umask())
        os.rename(fresh, target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    os.unlink(partial)


def pack(folder: str, archive: BinaryIO) -> None:
    """Write the files of a folder as a tar archive that is the same for the same content.

    Raises ValueError for a link to a folder, or what is neither a file nor a folder.
    """
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in _below(folder, ""):
            status = os.stat(path)
            member = tarfile.TarInfo(name)
            if stat.S_ISDIR(status.st_mode):
                if os.path.islink(path):
                    raise ValueError(f"{path} is a link to a folder; save that one by itself")
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            elif stat.S_ISREG(status.st_mode):
                member.mode = 0o755 if status.st_mode & 0o100 else 0o644
                with open(path, "rb") as file:
                    member.size = os.fstat(file.fileno()).st_size
                    tar.addfile(member, file)
            else:
                raise ValueError(f"{path} is neither a file nor a folder")


def _below(folder: str, prefix: str) -> Any:
    """The path and the name of everything in a folder, in one order everywhere."""
    for entry in sorted(os.listdir(folder)):
        path, name = os.path.join(folder, entry), prefix + entry
        yield path, name
        if os.path.isdir(path) and not os.path.islink(path):
            yield from _below(path, name + "/")


def unpack(archive: BinaryIO, folder: str) -> None:
    """Write what `pack` has packed into an empty folder. Raises ValueError for anything else."""
    with tarfile.open(fileobj=archive, mode="r:") as tar:
        for member in tar:
            parts = member.name.split("/")
            plain = member.isreg() or member.isdir()
            if not plain or any(part in ("", ".", "..") or "\0" in part for part in parts):
                raise ValueError(f"{member.name!r} has no place in a folder that was saved")
            path = os.path.join(folder, *parts)
            if member.isdir():
                os.mkdir(path)
                continue
            content = tar.extractfile(member)
            assert content is not None
            with content, open(path, "xb") as file:
                shutil.copyfileobj(content, file, PIECE)
            if member.mode & 0o100:
                os.chmod(path, 0o777 & ~_umask())


def _roomy() -> str | None:
    """Where a large archive can lie: beside the task's own files; /tmp may be in memory."""
    here = os.getcwd()
    return here if os.access(here, os.W_OK) else None


def _umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask
