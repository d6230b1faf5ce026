"""Questions to an export on this machine, without a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import msgspec

from ...core import errors
from ...core.errors import EvqError, QueryFailed
from ...core.history import Refusal, Word
from ...core.questions import Head, Named, Sql

_GRACE_SECONDS = 5.0
"""For the start of the process, which then looks after its time by itself."""

_NAMED_SECONDS = 600.0
_END = Word()

_part = msgspec.json.Decoder(Word | list[list[Any]])


def save(folder: Path, question: Named | Sql, file: Path) -> int:
    """Put the answer of the export in `folder` into a Parquet file, whole or not at all; its size
    in bytes."""
    from ...core.sdk.parquet import whole

    with whole(file) as output:
        for word in _words(folder, msgspec.structs.replace(question, parquet=True)):
            if isinstance(word, Word):
                output.write(word.file)
        return output.tell()


def answer(folder: Path, question: Named | Sql) -> Iterator[Head | list[list[Any]]]:
    """The answer of the export in `folder`: a head, then lists of rows."""
    for word in _words(folder, question):
        if isinstance(word, list):
            yield word
        elif word.head:
            yield word.head


def _words(folder: Path, question: Named | Sql) -> Iterator[Word | list[list[Any]]]:
    """All of the answer but its end. Raises the error that it ends with instead."""
    from ...core.sdk.export import CURRENT, read_manifest

    read_manifest(folder)
    kind = "named" if isinstance(question, Named) else "sql"
    seconds = question.timeout if isinstance(question, Sql) else _NAMED_SECONDS
    edition = str((folder / CURRENT).resolve())
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "evq.projector.local", edition, kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    executioner = Timer(seconds + _GRACE_SECONDS, process.kill)
    executioner.start()
    try:
        process.stdin.write(msgspec.json.encode(question))
        process.stdin.close()
        for line in process.stdout:
            word = _part.decode(line)
            if word == _END:
                return
            if isinstance(word, Word) and word.refusal:
                raise _error(word.refusal)
            yield word
        raise QueryFailed(
            "the query ended its process",
            why=f"after {seconds:g} s, or at its limits of memory or CPU time",
            fix="ask for less, or allow more time: --timeout 5m",
        )
    finally:
        executioner.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def _error(refusal: Refusal) -> EvqError:
    kind = getattr(errors, refusal.kind, EvqError)
    error: EvqError = kind(refusal.what, why=refusal.why, fix=refusal.fix)
    return error
