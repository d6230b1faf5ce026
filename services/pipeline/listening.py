"""What a step that runs on this machine alone says by `import evq`, and what it is answered.

An agent hears the same; see `core.sdk.task` and `core.sdk.carrying`.
"""

from __future__ import annotations

import shutil
import socket
import threading
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

READ_BYTES = 64 * 1024


class Kept(msgspec.Struct, frozen=True):
    """An artifact's content, on this disk."""

    path: Path
    folder: bool


class Shelf:
    """The artifacts of a run, by task and name, for as long as it lasts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._kept: dict[tuple[str, str], Kept] = {}

    def names(self, task: str) -> list[str]:
        """What a task has saved."""
        return [name for owner, name in self._kept if owner == task]

    def answer(self, asker: str, words: dict[str, Any], file: BinaryIO) -> dict[str, Any]:
        """Take what `asker` saves out of `file`, or put what it loads into that.

        The place in the file is shared with the asker, who expects it at the beginning.
        """
        file.seek(0)
        if wanted := words.get("save"):
            path = self._folder / str(len(self._kept))
            with path.open("wb") as kept:
                shutil.copyfileobj(file, kept)
            self._kept[asker, wanted["name"]] = Kept(path, bool(wanted.get("folder")))
            return {"answer": 1, "saved": {"name": wanted["name"]}}
        wanted = words["load"]
        task = asker if wanted["task"] == "@" else wanted["task"]
        found = self._kept.get((task, wanted["name"]))
        if found is None:
            text = f"task {task} has no artifact {wanted['name']} in this run"
            return {"answer": 1, "error": {"code": "E03", "text": text}}
        with found.path.open("rb") as kept:
            shutil.copyfileobj(kept, file)
        file.flush()
        file.seek(0)
        return {"answer": 1, "loaded": {"folder": found.folder}}


class Listener:
    """Hears one step, from its start to its end."""

    def __init__(self, where: Path, task: str, shelf: Shelf) -> None:
        self.outputs: dict[str, Any] = {}
        self.metrics: dict[str, float | str] = {}
        self._task, self._shelf = task, shelf
        self._where, self._last = where, f"{where}.last"
        where.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(where))
        self._socket.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Listener:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # Who connected stands in a line: once it has come to us, all of them are being heard.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.bind(self._last)
            last.connect(str(self._where))
            for thread in self._threads:
                thread.join()
        self._socket.close()
        Path(self._last).unlink()

    def _accept(self) -> None:
        while True:
            speaker, address = self._socket.accept()
            if address == self._last:
                speaker.close()
                return
            hearing = threading.Thread(target=self._hear, args=(speaker,), daemon=True)
            self._threads.append(hearing)
            hearing.start()

    def _hear(self, speaker: socket.socket) -> None:
        rest, files = b"", list[int]()
        with speaker:
            while True:
                data, descriptors, *_ = socket.recv_fds(speaker, READ_BYTES, 1)
                files += descriptors
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._line(speaker, line, files)

    def _line(self, speaker: socket.socket, line: bytes, files: list[int]) -> None:
        try:
            words = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            return
        if "ask" in words:
            with open(files.pop(0), "r+b" if "load" in words else "rb") as file:
                answer = self._shelf.answer(self._task, words, file)
            speaker.sendall(msgspec.json.encode(answer) + b"\n")
        self.outputs |= words.get("outputs") or {}
        self.metrics |= words.get("metrics") or {}
