"""Throughput and round trips of a tunnel, beside a bare loopback connection and `ssh -L`.

    uv run benchmarks/tunnel.py [--megabytes 200]

A real server, a real agent and a task that serves; all on this machine, so that what is measured is
what the ways cost and not the network. `ssh -L` is measured where an sshd can be started.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvloop
from ground import agent, client, folder, server

from evq.core.bus.connect import Login
from evq.core.sdk.client import Client
from evq.core.spec import Inline, Spec

PIECE = 256 * 1024
ROUNDS = 500

SERVER = """\
import socketserver
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while word := self.request.recv(16):
            if word[:1] == b"p":
                self.request.sendall(word)
                continue
            count = int(word[1:])
            if word[:1] == b"d":
                piece = bytes(1 << 18)
                for _ in range(count):
                    self.request.sendall(piece)
            else:
                left = count << 18
                while left:
                    left -= len(self.request.recv(min(left, 1 << 18)))
                self.request.sendall(b"done")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("127.0.0.1", PORT), Handler).serve_forever()
"""
"""`p…` comes back, `dN` gives N pieces, `uN` takes as many."""


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def served(opened: Client, port: int) -> AsyncIterator[str]:
    """A task that serves at a port."""
    entry = Inline(SERVER.replace("PORT", str(port)))
    spec = Spec(entry=entry, name="bench", queue="bench", manager="none", ports=(port,))
    task = (await opened.enqueue(spec)).task
    while not await listens(port):
        await asyncio.sleep(0.05)
    try:
        yield task
    finally:
        await opened.abort(task)
        await opened.wait(task)


async def listens(port: int) -> bool:
    """Whether somebody accepts connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@contextmanager
def ssh(folder: Path, port: int) -> Iterator[int | None]:
    """The near port of an `ssh -L` to `port`; None where there is no sshd."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if not sshd or not shutil.which("ssh"):
        yield None
        return
    far, near = free_port(), free_port()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    shutil.copy(folder / "user.pub", folder / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)
    words = ("StrictModes=no", "UsePAM=no", f"AuthorizedKeysFile={folder / 'authorized'}")
    options = [word for one in words for word in ("-o", one)]
    server = subprocess.Popen(
        [sshd, "-D", "-e", "-f", os.devnull, "-p", str(far), "-h", folder / "host", *options],
        stderr=subprocess.DEVNULL,
    )
    tunnel = None
    try:
        wait_for(far)
        quiet = ("StrictHostKeyChecking=no", f"UserKnownHostsFile={os.devnull}")
        tunnel = subprocess.Popen(
            ["ssh", "-N", "-i", str(folder / "user"), "-p", str(far), "127.0.0.1"]
            + [word for one in quiet for word in ("-o", one)]
            + ["-L", f"127.0.0.1:{near}:127.0.0.1:{port}"],
            stderr=subprocess.DEVNULL,
        )
        wait_for(near)
        yield near
    finally:
        for process in filter(None, (tunnel, server)):
            process.terminate()
            process.wait()


def wait_for(port: int) -> None:
    """Return when somebody listens."""
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def visit(port: int, pieces: int) -> dict[str, float]:
    """What a visitor sees: MB/s from the task and to it, µs for a round trip, for a connection."""
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trips = sorted(once(lambda: answered(one, b"p" * 16, 16)) for _ in range(ROUNDS))
        down = once(lambda: answered(one, b"d%-15d" % pieces, pieces * PIECE))

        def give() -> None:
            one.sendall(b"u%-15d" % pieces)
            for _ in range(pieces):
                one.sendall(bytes(PIECE))
            answered(one, b"", 4)

        up = once(give)

    def fresh() -> None:
        with socket.create_connection(("127.0.0.1", port)) as another:
            answered(another, b"p" * 16, 16)

    return {
        "down": pieces * PIECE / down / 1e6,
        "up": pieces * PIECE / up / 1e6,
        "trip": statistics.median(trips) * 1e6,
        "trip99": trips[int(len(trips) * 0.99)] * 1e6,
        "connection": statistics.median(once(fresh) for _ in range(50)) * 1e6,
    }


def once(act: Any) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def answered(one: socket.socket, question: bytes, count: int) -> None:
    """Ask, and read so many bytes."""
    if question:
        one.sendall(question)
    while count:
        data = one.recv(min(count, PIECE))
        assert data, "it was closed"
        count -= len(data)


async def measure(login: Login, home: Path, pieces: int) -> dict[str, dict[str, float]]:
    """All ways to the same task."""
    found: dict[str, dict[str, float]] = {}
    port = free_port()
    async with (
        client(login) as opened,
        served(opened, port) as task,
        await opened.tunnel(task, port) as tunnel,
    ):
        for name, number in (("bare", port), ("tunnel", tunnel.address[1])):
            found[name] = await asyncio.to_thread(visit, number, pieces)
        with ssh(home, port) as near:
            if near:
                found["ssh -L"] = await asyncio.to_thread(visit, near, pieces)
    return found


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pieces = max(1, options.megabytes * 1_000_000 // PIECE)
    with folder() as home, server(home) as login, agent(home, login, "--queues", "bench"):
        found = uvloop.run(measure(login, home, pieces))
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'':8} {'from it':>10} {'to it':>10} {'round trip':>11} {'99 %':>9} {'connect':>9}")
    for name, one in found.items():
        print(
            f"{name:8} {one['down']:7.0f} MB/s {one['up']:5.0f} MB/s {one['trip']:8.0f} µs"
            f" {one['trip99']:6.0f} µs {one['connection']:6.0f} µs"
        )
    if "ssh -L" not in found:
        print("no sshd on this machine: ssh -L was not measured")


if __name__ == "__main__":
    main()
