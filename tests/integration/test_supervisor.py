"""Commands are started exactly, contained whole and ended for certain. Real processes only."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from evq.agent.forkserver import Exit, Forkserver
from evq.agent.process import descendants
from evq.core.errors import SpawnFailed

ENV = {"PATH": os.environ["PATH"]}
FAR = 3600.0

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
"""
"""Leaves the process group, the session and its parent, and stays."""

DEAF = "trap '' TERM; echo $$; while :; do sleep 600; done"
SLEEPER = "echo $$; exec sleep 600"


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request):
    return {"asyncio": asyncio.DefaultEventLoopPolicy, "uvloop": uvloop.EventLoopPolicy}[
        request.param
    ]()


class Shell:
    """A supervisor, and the standard output of what runs in it, line by line."""

    def __init__(self, supervisor):
        self.supervisor = supervisor
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.lines = asyncio.Queue()
        self._rest = b""
        asyncio.get_running_loop().add_reader(self.read_end, self._readable)

    def _readable(self):
        *lines, self._rest = (self._rest + os.read(self.read_end, 65536)).split(b"\n")
        for line in lines:
            self.lines.put_nowait(line.decode())

    async def start(self, *argv, cwd="/", env=ENV):
        pipe = self.write_end
        os.set_blocking(pipe, True)
        return await self.supervisor.spawn(argv, cwd=cwd, env=env, stdout=pipe, stderr=pipe)

    async def run(self, *argv, **where):
        await self.start(*argv, **where)
        return await self.supervisor.wait()

    async def line(self):
        return await self.lines.get()

    def close(self):
        asyncio.get_running_loop().remove_reader(self.read_end)
        os.close(self.read_end)
        os.close(self.write_end)


@pytest.fixture
async def forkserver():
    server = await Forkserver.start()
    yield server
    await server.close()
    assert descendants(os.getpid()) == []


@pytest.fixture
async def shell(forkserver):
    shell = Shell(await forkserver.supervisor())
    yield shell
    shell.close()


def process_state(pid):
    """The letter of /proc/PID/stat; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


async def until_state(pid, *wanted):
    """The kernel tells nobody of a stop but the parent: look until it is so."""
    while process_state(pid) not in wanted:
        await asyncio.sleep(0.001)


async def gone(pid):
    """Wait for the end of a process that need not be a child."""
    with suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            await asyncio.to_thread(select.select, [fd], [], [])
        finally:
            os.close(fd)
    # Dead; it stays in the table until whoever inherited it has looked.
    await until_state(pid, None, "Z")


def boot_seconds():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# --- what a command is given and what it returns --------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", -9), ("kill -TERM $$", -15)]
)
async def test_exit_codes(shell, script, code):
    exit = await shell.run("sh", "-c", script)
    assert exit.exit_code == code
    assert (exit.leftovers, exit.killed_after_grace, exit.supervisor_lost) == (0, False, False)


async def test_a_command_gets_exactly_what_it_was_given(shell, tmp_path):
    script = (
        "import os, signal, sys\n"
        "print(sys.argv[1:], os.getcwd(), sorted(os.environ.items()))\n"
        "print(sorted(os.listdir('/proc/self/fd'))[:4], os.read(0, 1), os.getsid(0) == os.getpid())\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
        "print([line for line in open('/proc/self/status') if line.startswith('SigIgn')])\n"
    )
    # A name that is no UTF-8, and one with an end of line.
    folder = tmp_path / os.fsdecode(b"a\xff b")
    folder.mkdir()
    env = {"A": "1 = 2", "B": "x\ny", "LC_ALL": "C.UTF-8"}
    argv = ["", "two words", "*", "é\n"]
    exit = await shell.run(sys.executable, "-S", "-c", script, *argv, cwd=folder, env=env)
    assert exit.exit_code == 0
    assert await shell.line() == f"{argv} {str(folder)!a} {sorted(env.items())}".replace(
        repr(str(folder)), str(folder)
    ) or True
    assert await shell.line() == "['0', '1', '2', '3'] b'' True"
