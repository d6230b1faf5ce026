"""Event files in a task's folder, by real writers: their scalars are the task's own metrics."""

import sys

WRITER = """
import math
from tensorboardX import SummaryWriter
with SummaryWriter() as writer:
    for step in range(5):
        writer.add_scalar("train/loss", 1 / (step + 1), step)
    writer.add_scalar("nan", math.nan, 7)
    writer.add_scalars("both", {"a": 1, "b": 2}, 1)
    writer.add_histogram("h", [1, 2, 3], 1)
    writer.add_text("t", "text", 1)
    writer.add_hparams({"lr": 0.1, "name": "x", "flag": True}, {"final": 3})
"""


async def test_scalars_of_a_short_task(served):
    task = await served.run(sys.executable, "-c", WRITER)
    print(await served.lines(task.id))
    print(await served.points(task.id))
    print([r for r in await served.records(task.id) if type(r).__name__ == "Remarks"])
    assert 0
