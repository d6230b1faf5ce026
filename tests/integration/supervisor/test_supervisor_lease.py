"""Freezing and thawing, and what a supervisor does by itself when the lease runs out."""

import asyncio
import sys

import pytest

from evq.core.errors import SpawnFailed


async def test_freeze_and_thaw_reach_the_whole_tree(shell):
    script = f"{shell.DAEMON}time.sleep(600)"
    main = await shell.start(sys.executable, "-IS", "-c", script)
    daemon = await shell.pid()
    shell.supervisor.freeze()
    for pid in (main, daemon):
        await shell.until(pid, "T")
    shell.supervisor.thaw()
    for pid in (main, daemon):
        await shell.until(pid, "S", "R")
    shell.supervisor.freeze()
    await shell.until(main, "T")
    shell.supervisor.stop(shell.FAR)
    assert (await shell.supervisor.wait()).exit_code == -15


async def test_a_lease_that_runs_out_freezes_and_only_a_thaw_ends_that(shell):
    frozen = asyncio.Event()
    shell.supervisor.on_frozen = frozen.set
    pid = await shell.start("sh", "-c", "while :; do echo x; read x <fifo; done")
    assert await shell.line() == "x"
    shell.supervisor.lease(shell.soon(0.1), "freeze")
    await frozen.wait()
    await shell.until(pid, "T")
    shell.supervisor.lease(shell.soon(shell.FAR), "freeze")
    # The supervisor looks at one message after the other: this one is not lost on a stopped tree.
    shell.supervisor.freeze()
    await shell.until(pid, "T")
    shell.supervisor.thaw()
    await shell.write_fifo()
    assert await shell.line() == "x"
    shell.supervisor.kill()
    assert (await shell.supervisor.wait()).exit_code == -9


async def test_a_renewed_lease_does_not_run_out(shell):
    frozen = asyncio.Event()
    shell.supervisor.on_frozen = frozen.set
    for _ in range(50):
        shell.supervisor.lease(shell.soon(30), "freeze")
        assert (await shell.run("true")).exit_code == 0
    assert not frozen.is_set()


async def test_nothing_begins_without_a_lease(shell):
    frozen = asyncio.Event()
    shell.supervisor.on_frozen = frozen.set
    shell.supervisor.lease(shell.soon(0), "freeze")
    await frozen.wait()
    shell.supervisor.lease(shell.soon(shell.FAR), "freeze")
    start = asyncio.ensure_future(shell.start("sh", "-c", "echo ran"))
    await asyncio.sleep(0)
    assert not start.done()
    shell.supervisor.thaw()
    await start
    assert (await shell.supervisor.wait()).exit_code == 0
    assert await shell.line() == "ran"


async def test_a_command_that_waits_for_a_thaw_can_be_stopped(shell):
    shell.supervisor.freeze()
    start = asyncio.ensure_future(shell.start("true"))
    await asyncio.sleep(0)
    shell.supervisor.stop(shell.FAR)
    with pytest.raises(SpawnFailed, match="told to end"):
        await start


async def test_the_next_attempt_knows_nothing_of_this_one(forkserver, shell):
    shell.supervisor.lease(shell.soon(0), "freeze")
    shell.supervisor.freeze()
    forkserver.release(shell.supervisor)
    assert await forkserver.supervisor() is shell.supervisor
    assert (await shell.run("true")).exit_code == 0


async def test_the_policy_stop(shell):
    await shell.start("sh", "-c", shell.DEAF)
    shell.supervisor.lease(shell.soon(0.1), "stop")
    exit = await shell.supervisor.wait()
    assert (exit.exit_code, exit.lease_ran_out) in ((-9, True), (-15, True))
    with pytest.raises(SpawnFailed, match="lease"):
        await shell.start("true")


async def test_the_policy_run(shell):
    shell.supervisor.lease(shell.soon(0), "run")
    assert (await shell.run("sh", "-c", "exit 5")).exit_code == 5
