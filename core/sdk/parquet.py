"""Answers as Parquet files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from ..errors import UsageError
from ..questions import Named, Sql
from .client import Client


async def parquet(client: Client, question: Named | Sql) -> AsyncIterator[bytes]:
    """A projector's answer as one Parquet file, piece by piece. Raises `EvqError`.

    The whole file was made before its first piece comes: what is wrong with the question is told
    by then.
    """
    wish = replace(question, parquet=True)
    async with aclosing(client.parts(wish)) as parts:
        await anext(parts)  # the head, which the file has, too
        async for part in parts:
            yield part


async def save_parquet(client: Client, question: Named | Sql, file: Path) -> int:
    """Put a projector's answer into `file`, whole or not at all; its size in bytes.

    Raises `UsageError` for a place that cannot be written to, and what `parquet` raises.
    """
    with whole(file) as output:
        async for piece in parquet(client, question):
            output.write(piece)
        return output.tell()


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """What is written in the block becomes `file`, if the block ends well.

    Raises `UsageError` for a place that cannot be written to.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as output:
            yield output
        partial.replace(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written", why=str(error.strerror)) from error
    finally:
        partial.unlink(missing_ok=True)
