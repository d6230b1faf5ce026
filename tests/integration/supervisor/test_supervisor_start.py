"""A command is started exactly as it was asked for, or it is said why not."""

import gc
import json
import os
import sys

import pytest
import uvloop

from evq.agent.supervision.forkserver import Forkserver
from evq.agent.supervision.process import descendants
from evq.core.errors import SpawnFailed


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", -9), ("kill -TERM $$", -15)]
)
async def test_exit_codes(shell, script, code):
    exit = await shell.run("sh", "-c", script)
    assert exit.exit_code == code
    assert (exit.leftovers, exit.killed_after_grace, exit.supervisor_lost) == (0, False, False)


async def test_a_command_gets_exactly_what_it_was_given(shell, tmp_path):
    script = (
        "import json, os, sys\n"
        "fds = sorted(os.listdir('/proc/self/fd'), key=int)\n"
        "print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), fds, not os.read(0, 1)]))"
    )
    folder = tmp_path / os.fsdecode(b"no UTF-8 \xff\nand two lines")
    folder.mkdir()
    env = {"A": "1 = 2", "B": "x\ny", "LC_ALL": "C.UTF-8"}
    argv = ["", "two words", "*", "é\n"]
    await shell.run(sys.executable, "-IS", "-c", script, *argv, cwd=folder, env=env)
    # The fourth descriptor is the one of listdir.
    fds = ["0", "1", "2", "3"]
    assert json.loads(await shell.line()) == [argv, str(folder), env, fds, True]


async def test_no_signal_is_ignored_or_blocked(shell):
    await shell.run("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    for _ in range(2):
        # Of the signals from 32 on, glibc keeps two for itself.
        assert int((await shell.line()).split()[1], 16) & 0x7FFFFFFF == 0


async def test_a_command_is_larger_than_a_packet(shell):
    env = {f"V{number}": "x" * 100_000 for number in range(8)}
    await shell.run("/bin/sh", "-c", "echo ${#V0} ${#V7}", env=env)
    assert await shell.line() == "100000 100000"


async def test_usage_is_that_of_the_whole_tree(shell):
    seconds = 0.2
    burn = f"import time\nwhile time.process_time() < {seconds}: pass"
    python = f"{sys.executable} -IS -c"
    script = f'{python} "$0" & setsid {python} "$0"; wait'
    exit = await shell.run("sh", "-c", script, burn)
    assert exit.exit_code == 0 and exit.cpu_seconds > 2 * seconds
    assert exit.wall_seconds > 0 and exit.max_rss_bytes > 1_000_000


async def refused(shell, *argv, **where):
    with pytest.raises(SpawnFailed) as caught:
        await shell.start(*argv, **where)
    assert (await shell.run("true")).exit_code == 0
    return caught.value


async def test_a_command_that_is_not_there(shell):
    assert "'no-such'" in (await refused(shell, "no-such")).what
    assert "./no-such" in (await refused(shell, "./no-such")).what
    assert "''" in (await refused(shell)).what


async def test_a_folder_that_is_not_there(shell, tmp_path):
    assert "working folder" in (await refused(shell, "true", cwd=tmp_path / "no")).what


@pytest.mark.parametrize(
    ("mode", "text", "why"),
    [
        (0o644, "#!/bin/sh\n", "not executable"),
        (0o755, "#!/no/such/shell\n", "interpreter"),
        (0o755, "echo\n", "#! line"),
    ],
)
async def test_a_file_that_is_no_program(shell, tmp_path, mode, text, why):
    file = tmp_path / "script"
    file.write_text(text)
    file.chmod(mode)
    error = await refused(shell, "./script")
    assert why in error.why and error.fix


async def test_arguments_that_are_too_large(shell):
    assert "larger" in (await refused(shell, "true", "x" * 3_000_000)).why


async def test_many_commands_leave_nothing_behind(shell):
    pid = shell.supervisor.pid

    def held():
        fds = [len(os.listdir(f"/proc/{of}/fd")) for of in (pid, os.getpid())]
        return fds, list(descendants(pid))

    await shell.run("true")
    gc.collect()  # what earlier tests left open must not be closed in the middle of this one
    before = held()
    for _ in range(500):
        assert (await shell.run("true")).exit_code == 0
    assert held() == before


def test_another_event_loop(nobody_left):
    async def body():
        forkserver = await Forkserver.start()
        await forkserver.warm(2)
        supervisor = await forkserver.supervisor()
        reader, writer = os.pipe()
        argv = ["/bin/sh", "-c", "echo hello; exit 3"]
        await supervisor.spawn(argv, cwd="/", env={}, stdout=writer, stderr=writer)
        assert (await supervisor.wait()).exit_code == 3
        assert os.read(reader, 100) == b"hello\n"
        os.close(reader)
        os.close(writer)
        await forkserver.close()

    uvloop.run(body())
