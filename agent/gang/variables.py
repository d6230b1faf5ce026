"""What a member's command is told of its gang, in the words that training programs know."""

from __future__ import annotations

from ...core.state import Task

ALONE = {
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
    "RANK": "0",
    "WORLD_SIZE": "1",
    "NODE_RANK": "0",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "1",
}
"""What a member is told that is tried without the others: the words of a gang of one."""


def gang_variables(task: Task) -> dict[str, str]:
    """The variables of a member whose gang is complete; none for any other task.

    `MASTER_ADDR`, `RANK` and so on are what `torch.distributed` reads (`env://`), and most others
    do; the `PET_` ones are `torchrun`'s own options, so that it needs no arguments.
    """
    spec, attempt = task.spec, task.live
    if spec.gang is None or attempt is None or attempt.assembled is None:
        return {}
    address, port = attempt.assembled.address, str(attempt.assembled.port)
    rank, nodes = str(spec.gang.rank), str(spec.nodes)
    found = {
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        "RANK": rank,
        "WORLD_SIZE": nodes,
        "NODE_RANK": rank,
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "PET_NNODES": nodes,
        "PET_NODE_RANK": rank,
        "PET_MASTER_ADDR": address,
        "PET_MASTER_PORT": port,
        "EVQ_GANG": spec.gang.id,
        "EVQ_RANK": rank,
        "EVQ_NODES": nodes,
    }
    if spec.gpus > 1:
        found["PET_NPROC_PER_NODE"] = str(spec.gpus)
    return found
