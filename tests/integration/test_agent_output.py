"""What tasks write, line by line, within bounds."""

from collections import Counter

from evq.core.events import Log

MIB = 2**20

BOTH = """
import sys
for number in range(3000):
    print(f"out {number:040}")
    print(f"error {number:040}", file=sys.stderr)
sys.stdout.buffer.write(b"caf\\xe9 \\xc3\\xa9\\n no end")
"""

BAR = """
import sys
for percent in range(0, 101):
    for _ in range(300):
        sys.stderr.write(f"\\r{percent:3}%")
sys.stderr.write("\\n")
"""

FLOOD = """
import sys
block = b"".join(b"%09d" % number + b"x" * 90 + b"\\n" for number in range(10000))
for _ in range(100):
    sys.stdout.buffer.write(block)
print("the last line")
"""

ENDLESS = """
import sys
for _ in range(20):
    sys.stdout.write("x" * 2**20)
print()
print("after it")
"""


async def test_each_stream_keeps_its_order_and_its_times(served, plain_python):
    # Written line by line: half of one is shown if the rest takes a second.
    task = await served.run(plain_python, "-u", "-c", BOTH)
    out, error = await served.lines(task.id, "o"), await served.lines(task.id, "e")
    assert out == [f"out {number:040}" for number in range(3000)] + ["caf\ufffd é", " no end"]
    assert error == [f"error {number:040}" for number in range(3000)]
    logs = [record for record in await served.records(task.id) if isinstance(record, Log)]
    assert len(logs) > 1 and {record.claim for record in logs} == {task.attempts[0].claim}
    for letter in "oe":
        times = [
            at
            for record in logs
            for at, stream in zip(record.at, record.stream, strict=True)
            if stream == letter
        ]
        assert times == sorted(times)
        assert task.attempts[0].claimed <= times[0] and times[-1] <= task.state.at


async def test_both_streams_come_in_the_order_of_writing_when_there_is_time_between(served, gates):
    first, second = gates(2)
    code = f"echo one; {first.wait}; echo two >&2; {second.wait}; echo three"
    task = await served.enqueue("sh", "-c", code)
    for gate, begin in ((first, "one"), (second, "two")):
        await gate.reached()
        await served.line(task, begin)
        gate.open()
    await served.ended(task)
    assert await served.lines(task) == ["one", "two", "three"]


async def test_a_progress_bar_does_not_flood(served, plain_python):
    task = await served.run(plain_python, "-u", "-c", BAR)
    shown = await served.lines(task.id, "e")
    assert shown[-1] == "100%" and len(shown) < 20


async def test_a_prompt_is_seen_while_it_waits(served, gate):
    task = await served.enqueue("sh", "-c", f"printf 'name? '; {gate.wait}")
    assert await served.line(task, "name?") == "name? "
    await gate.reached()
    gate.open()
    await served.ended(task)


async def test_a_hundred_megabytes_of_output(start_agent, queue, plain_python):
    agent = start_agent([queue], "--log-bytes", str(MIB)).ready()
    before = agent.memory("VmRSS")
    task = await queue.run(plain_python, "-c", FLOOD)
    assert agent.memory("VmHWM") - before < 32 * MIB
    lines = await queue.lines(task.id)
    assert lines[0].startswith("000000000x") and lines[-1] == "the last line"
    assert MIB // 2 < sum(map(len, lines)) < 1.2 * MIB
    (note,) = await queue.lines(task.id, "a")
    assert "lines (" in note and f"the log's limit is {MIB} bytes" in note
    # What is left of the end, and only that, comes after the note.
    tail = lines[lines.index(note) + 1 :]
    assert tail[-2].startswith("000009999x") and 64_000 < sum(map(len, tail)) < 66_000


async def test_one_huge_line(served, plain_python):
    before = served.agent.memory("VmRSS")
    task = await served.run(plain_python, "-c", ENDLESS)
    assert served.agent.memory("VmHWM") - before < 32 * MIB
    lines = await served.lines(task.id, "o")
    assert lines[-1] == "after it" and "bytes of this line left out" in lines[-2]
    # A piece may be shorter for which the agent has waited for a second.
    sizes = Counter(map(len, lines))
    assert max(sizes) == 8192 and sizes[8192] >= 127 and sum(map(len, lines)) < 1.1 * MIB
