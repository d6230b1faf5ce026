"""Whoever dies — agent, supervisor, forkserver — no process of a command is left alone."""

import os
import signal
import subprocess
import sys

import pytest

from evq.agent.supervision import supervised
from evq.agent.supervision.forkserver import Forkserver
from evq.core.errors import SpawnFailed

AGENT = """
import asyncio, os, sys, time
from evq.agent.supervision.forkserver import Forkserver

async def main(how, script):
    server = await Forkserver.start()
    await server.warm(2)
    supervisor = await server.supervisor()
    reader, writer = os.pipe()
    env = dict(os.environ)
    await supervisor.spawn(["sh", "-c", script], cwd="/", env=env, stdout=writer, stderr=writer)
    command = os.read(reader, 100).decode().strip()
    lease = 3600 if how == "frozen" else 0.5
    supervisor.lease(time.clock_gettime(time.CLOCK_BOOTTIME) + lease, "stop")
    if how == "frozen":
        supervisor.freeze()
    print(supervisor.pid, command, flush=True)
    await supervisor.wait()
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("how", ["frozen", "running"])
async def test_nothing_outlives_the_agent(shell, how):
    command = [sys.executable, "-c", AGENT, how, shell.DEAF]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        supervisor, main = map(int, agent.stdout.readline().split())
        forkserver = shell.parent(supervisor)
        if how == "frozen":
            await shell.until(main, "T")
        agent.kill()
    for pid in (main, supervisor, forkserver):
        await shell.gone(pid)


async def test_supervisors_shrug_off_what_a_terminal_sends(shell):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(shell.supervisor.pid, number)
        os.kill(shell.parent(shell.supervisor.pid), number)
    assert (await shell.run("true")).exit_code == 0


async def test_a_killed_supervisor_takes_its_processes_along(forkserver, shell):
    script = f"{shell.DAEMON}time.sleep(600)"
    main = await shell.start(sys.executable, "-IS", "-c", script)
    daemon = await shell.pid()
    os.kill(shell.supervisor.pid, signal.SIGKILL)
    assert (await shell.supervisor.wait()).supervisor_lost
    assert shell.dead(main) and shell.dead(daemon)
    with pytest.raises(SpawnFailed, match="supervisor was killed"):
        await shell.start("true")
    forkserver.release(shell.supervisor)
    shell.supervisor = await forkserver.supervisor()
    assert (await shell.run("true")).exit_code == 0


async def test_an_idle_supervisor_that_was_killed_is_not_handed_out(forkserver):
    first = await forkserver.supervisor()
    forkserver.release(first)
    os.kill(first.pid, signal.SIGKILL)
    await first.over
    assert await forkserver.supervisor() is not first


async def test_a_killed_forkserver_hurts_nobody(forkserver, shell):
    await shell.start("sh", "-c", "echo; read x <fifo")
    await shell.line()
    dead = shell.parent(shell.supervisor.pid)
    os.kill(dead, signal.SIGKILL)
    await shell.gone(dead)
    another = await forkserver.supervisor()
    assert shell.parent(another.pid) != dead
    await shell.write_fifo()
    assert (await shell.supervisor.wait()).exit_code == 0
    # Nobody would clean up after it, so it is not used again.
    forkserver.release(shell.supervisor)
    await shell.supervisor.over


async def test_forkserver_and_supervisor_killed_together(shell):
    main = await shell.start("sh", "-c", "sleep 600 & echo $!; exec sleep 600")
    worker = await shell.pid()
    os.kill(shell.parent(shell.supervisor.pid), signal.SIGKILL)
    os.kill(shell.supervisor.pid, signal.SIGKILL)
    assert (await shell.supervisor.wait()).supervisor_lost
    assert shell.dead(main) and shell.dead(worker)


async def test_a_supervisor_that_hangs_is_killed_in_its_turn(shell, monkeypatch):
    monkeypatch.setattr(supervised, "PATIENCE", 0.05)
    main = await shell.start("sh", "-c", shell.DEAF)
    os.kill(shell.supervisor.pid, signal.SIGSTOP)
    shell.supervisor.kill()
    assert (await shell.supervisor.wait()).supervisor_lost
    assert shell.dead(main)


async def test_close_ends_what_runs(nobody_left):
    forkserver = await Forkserver.start()
    supervisor = await forkserver.supervisor()
    with open(os.devnull, "wb") as null:
        out = null.fileno()
        argv = ["/bin/sleep", "600"]
        await supervisor.spawn(argv, cwd="/", env={}, stdout=out, stderr=out)
    await forkserver.close()
    assert (await supervisor.wait()).exit_code == -9
