"""What the tests run as tasks: tells a file what really happened, whatever the log believes.

    witness.py FOLDER [until=PATH] [seconds=S] [lines=N] [metrics] [gpus] [exit=CODE] [kill-agent]
               [die] [loss=STEPS lr=X width=N]

It takes a lock with its task's name. Another process that holds the lock and is not frozen is a
second life of the same task: that is written to FOLDER/<task>.double. Every step adds a line
`<attempt> <word>` to FOLDER/<task>.steps: begin, tick …, end. With `gpus` it takes the lock of
each GPU that it was given in the same way. With `loss` it tells a curve that its parameters decide.
"""

import fcntl
import math
import os
import signal
import sys
import time
from pathlib import Path

TICK = 0.02

folder = Path(sys.argv[1])
options = dict(word.partition("=")[::2] for word in sys.argv[2:])
task, attempt = os.environ["EVQ_TASK_ID"], os.environ["EVQ_ATTEMPT"]
steps = os.open(folder / f"{task}.steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def step(word):
    os.write(steps, f"{attempt} {word}\n".encode())


def state(pid):
    """The letter for a process's state; X if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def take_lock(name):
    lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode()
        if state(holder) != "T":
            (folder / f"{task}.double").write_text(f"attempt {attempt} beside {holder} on {name}")
            sys.exit(99)
        step("begin-beside-a-frozen-one")
        return
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def agent():
    """The agent's process: it started the forkserver, that the supervisor, and that us."""
    pid = os.getpid()
    for _ in range(3):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def speak(number):
    for _ in range(int(options.get("lines", 0))):
        print(f"line {attempt} {number}", "x" * int(options.get("width", 0)), flush=True)
    if "metrics" in options:
        import evq

        evq.log({"tick": number}, step=number)


def fall():
    """A loss that comes down to a level, which is lowest near lr 0.01 and width 64."""
    import evq

    away = abs(math.log10(float(options["lr"])) + 2) + abs(int(options["width"]) - 64) / 64
    for number in range(int(options["loss"])):
        evq.log({"loss": round(away + 2 / (number + 1), 9)}, step=number)
        step("tick")
        time.sleep(TICK)


take_lock(task)
if "gpus" in options:
    for gpu in filter(None, os.environ["CUDA_VISIBLE_DEVICES"].split(",")):
        take_lock(gpu)
step("begin")
if "kill-agent" in options:
    os.kill(agent(), signal.SIGKILL)
if "die" in options and attempt == "1":
    os.kill(os.getpid(), signal.SIGKILL)
if "loss" in options:
    fall()
end = time.monotonic() + float(options.get("seconds", 0))
number = 0
while time.monotonic() < end or ("until" in options and not os.path.exists(options["until"])):
    speak(number)
    step("tick")
    number += 1
    time.sleep(TICK)
step("end")
sys.exit(int(options.get("exit", 0)))
