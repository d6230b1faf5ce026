"""Locks that tell whether an attempt's processes live: they end with the last one, no sooner."""

import fcntl
import os

import pytest

from evq.agent.supervision.forkserver import Forkserver


class Lock:
    """A locked file; `held` whether somebody else than the caller has it open."""

    def __init__(self, path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def close(self):
        os.close(self.descriptor)

    @property
    def held(self):
        with self.path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


@pytest.fixture
def lock(tmp_path):
    return Lock(tmp_path / "lock")


async def test_a_supervisor_keeps_a_lock_until_its_attempt_is_over(shell, lock, until):
    shell.supervisor.hold(lock.descriptor)
    assert (await shell.run("true")).exit_code == 0
    lock.close()
    assert lock.held
    shell.supervisor.rest()
    await until(lambda: not lock.held, "the lock is free")


async def test_a_command_does_not_have_it(shell, lock):
    shell.supervisor.hold(lock.descriptor)
    script = f"for fd in /proc/self/fd/*; do [ $fd -ef {lock.path} ] && exit 9; done; exit 0"
    assert (await shell.run("bash", "-c", script)).exit_code == 0
    lock.close()


async def test_a_killed_supervisor_gives_it_back(shell, lock, until):
    shell.supervisor.hold(lock.descriptor)
    assert (await shell.run("true")).exit_code == 0
    lock.close()
    os.kill(shell.supervisor.pid, 9)
    await until(lambda: not lock.held, "the lock is free")


async def test_what_the_forkserver_was_given_is_free_at_its_end(nobody_left, lock, tmp_path):
    server = await Forkserver.start(holds=(lock.descriptor,))
    lock.close()
    await server.warm(2)
    assert lock.held
    supervisor = await server.supervisor()
    script = f"for fd in /proc/self/fd/*; do [ $fd -ef {lock.path} ] && exit 9; done; exit 0"
    with (tmp_path / "out").open("w") as out:
        await supervisor.spawn(
            ["bash", "-c", script],
            cwd="/",
            env=dict(os.environ),
            stdout=out.fileno(),
            stderr=out.fileno(),
        )
    assert (await supervisor.wait()).exit_code == 0, "a command has it"
    await server.close()
    assert not lock.held
