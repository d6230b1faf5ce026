"""Bytes to a program that gives back what it hears."""

from __future__ import annotations

import asyncio

MEGABYTE = 1 << 20


async def sent_and_back(address: tuple[str, int], data: bytes) -> bytes:
    """What comes back of `data`, which is sent on a connection of its own while the answer is
    read."""
    reader, writer = await asyncio.open_connection(*address, limit=MEGABYTE)

    async def send() -> None:
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    _, back = await asyncio.gather(send(), reader.read())
    writer.close()
    return back
