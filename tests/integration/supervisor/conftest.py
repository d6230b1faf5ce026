"""A supervisor to run things in, and eyes for processes. Everything here is real."""

import asyncio
import os
import select
import time
from contextlib import suppress
from pathlib import Path

import pytest

from evq.agent.supervision.forkserver import Forkserver
from evq.agent.supervision.process import descendants

ENV = {"PATH": os.environ["PATH"]}


class Shell:
    """A supervisor, the output of what runs in it, line by line, and a folder with a fifo."""

    DAEMON = (
        "import os, sys, time\n"
        "reader, writer = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        print(os.getpid(), flush=True)\n"
        "        os.write(writer, b'x')\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "os.read(reader, 1)\n"
    )
    """Python that leaves its group, its session and its parent, says its pid, and stays."""

    DEAF = "trap '' TERM; echo $$; exec sleep 600"
    """Shell that says its pid and does not listen to SIGTERM."""

    FAR = 3600.0

    def __init__(self, supervisor, folder):
        self.supervisor = supervisor
        self.folder = folder
        os.mkfifo(folder / "fifo")
        self.read_end, self.write_end = os.pipe()
        self.lines = asyncio.Queue()
        self._rest = b""
        asyncio.get_running_loop().add_reader(self.read_end, self._readable)

    def _readable(self):
        *lines, self._rest = (self._rest + os.read(self.read_end, 65536)).split(b"\n")
        for line in lines:
            self.lines.put_nowait(os.fsdecode(line))

    def close(self):
        asyncio.get_running_loop().remove_reader(self.read_end)
        os.close(self.read_end)
        os.close(self.write_end)

    async def start(self, *argv, cwd=None, env=ENV):
        pipe = self.write_end
        return await self.supervisor.spawn(
            argv, cwd=cwd or self.folder, env=env, stdout=pipe, stderr=pipe
        )

    async def run(self, *argv, **where):
        await self.start(*argv, **where)
        return await self.supervisor.wait()

    async def line(self):
        return await self.lines.get()

    async def pid(self):
        return int(await self.line())

    async def write_fifo(self):
        """Let whoever reads the fifo go on."""
        await asyncio.to_thread((self.folder / "fifo").write_text, "go\n")

    @staticmethod
    def soon(seconds):
        """A deadline."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) + seconds

    @staticmethod
    def stat(pid):
        """State, parent and so on from /proc/PID/stat; nothing when there is no such process."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return [None]

    def dead(self, pid):
        return self.stat(pid)[0] in (None, "Z", "X")

    def parent(self, pid):
        return int(self.stat(pid)[1])

    async def until(self, pid, *states):
        """The kernel tells nobody but the parent of a stop: look until it is so."""
        while self.stat(pid)[0] not in states:
            await asyncio.sleep(0.001)

    async def gone(self, pid):
        """Wait for the end of a process that need not be our child."""
        with suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                await asyncio.to_thread(select.select, [fd], [], [])
            finally:
                os.close(fd)


@pytest.fixture
def nobody_left():
    """Holds a test to leaving no process; a server that other tests share may be there already."""
    before = set(descendants(os.getpid()))
    yield
    assert not set(descendants(os.getpid())) - before


@pytest.fixture
async def forkserver(nobody_left):
    server = await Forkserver.start()
    yield server
    await server.close()


@pytest.fixture
async def shell(forkserver, tmp_path):
    shell = Shell(await forkserver.supervisor(), tmp_path)
    yield shell
    shell.close()
