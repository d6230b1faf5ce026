"""Whatever a command starts ends with it, and whoever stops it reaches all of it."""

import asyncio
import os
import signal
import sys
from contextlib import suppress

import pytest

from evq.agent.supervision.process import descendants
from evq.core.errors import SpawnFailed


async def test_a_daemon_does_not_outlive_its_command(shell):
    exit = await shell.run(sys.executable, "-IS", "-c", shell.DAEMON)
    assert shell.dead(await shell.pid())
    assert (exit.exit_code, exit.leftovers) == (0, 1)


async def test_a_leftover_that_ignores_sigterm_is_killed(shell):
    main = await shell.start("sh", "-c", 'sh -c "$0" & wait', shell.DEAF)
    deaf = await shell.pid()
    os.kill(main, signal.SIGKILL)
    exit = await shell.supervisor.wait()
    assert (exit.exit_code, exit.leftovers) == (-9, 1)
    assert shell.dead(deaf)


async def test_stop_lets_a_command_end_in_its_own_way(shell):
    # Without stderr, where the shell may say what became of its `sleep`.
    script = "exec 2>&-; trap 'echo saved; exit 7' TERM; echo; while :; do sleep 1; done"
    await shell.start("sh", "-c", script)
    await shell.line()
    shell.supervisor.stop(shell.FAR)
    exit = await shell.supervisor.wait()
    assert (exit.exit_code, exit.killed_after_grace) == (7, False)
    assert await shell.line() == "saved"


async def test_workers_have_their_grace_though_the_main_process_is_gone(shell):
    worker = (
        "exec 2>&-; trap 'read x <fifo; echo saved; exit' TERM; echo; while :; do sleep 9; done"
    )
    main = await shell.start("sh", "-c", 'sh -c "$0" & exec sleep 600', worker)
    await shell.line()
    shell.supervisor.stop(shell.FAR)
    await shell.gone(main)
    await shell.write_fifo()
    exit = await shell.supervisor.wait()
    assert (exit.exit_code, exit.killed_after_grace) == (-15, False)
    assert await shell.line() == "saved"


async def test_after_the_grace_everyone_is_killed(shell):
    await shell.start("sh", "-c", shell.DEAF)
    await shell.line()
    shell.supervisor.stop(0.05)
    exit = await shell.supervisor.wait()
    assert (exit.exit_code, exit.killed_after_grace) == (-9, True)


async def test_a_tree_that_forks_all_the_time_is_ended(shell):
    bomb = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "first = os.getpid()\n"
        "for _ in range(5): os.fork()\n"
        "if os.getpid() == first:\n"
        "    print('forking', flush=True)\n"
        "    signal.pause()\n"
        "while True:\n"
        "    if os.fork(): os._exit(0)\n"
        "    os.setsid()\n"
    )
    await shell.start(sys.executable, "-IS", "-c", bomb)
    await shell.line()
    shell.supervisor.kill()
    await shell.supervisor.wait()
    assert not list(descendants(shell.supervisor.pid))


async def test_after_a_stop_nothing_begins_before_the_next_attempt(forkserver, shell):
    shell.supervisor.stop(1)
    with pytest.raises(SpawnFailed, match="told to end"):
        await shell.start("true")
    forkserver.release(shell.supervisor)
    assert await forkserver.supervisor() is shell.supervisor
    assert (await shell.run("true")).exit_code == 0


async def test_what_runs_in_a_released_supervisor_is_killed(forkserver, shell):
    pid = await shell.start("sh", "-c", shell.DEAF)
    forkserver.release(shell.supervisor)
    await shell.supervisor.wait()
    assert shell.dead(pid)
    assert await forkserver.supervisor() is shell.supervisor


async def test_a_spawn_that_nobody_waits_for_any_more_is_undone(forkserver, shell):
    spawning = asyncio.ensure_future(shell.start("sh", "-c", shell.DEAF))
    await asyncio.sleep(0)
    spawning.cancel()
    await asyncio.wait([spawning])
    forkserver.release(shell.supervisor)
    with suppress(asyncio.CancelledError):
        await shell.supervisor.wait()
    assert not list(descendants(shell.supervisor.pid))
