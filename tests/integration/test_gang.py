"""Gangs: members on several agents that run together or not at all."""

from __future__ import annotations

import sys

from evq.core.gang import member_id

MEET = """
import os, socket, sys
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    with socket.create_server(place) as server:
        peers = [server.accept()[0] for _ in range(size - 1)]
    ranks = sorted(int(peer.makefile().readline()) for peer in peers)
    for peer in peers:
        peer.sendall(f"{ranks}\\n".encode())
        peer.close()
    print("met", ranks)
else:
    import time
    while True:
        try:
            connection = socket.create_connection(place)
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    connection.sendall(f"{rank}\\n".encode())
    print("met", connection.makefile().readline().strip())
"""


async def test_the_members_meet(queue, start_agent) -> None:
    for _ in range(3):
        start_agent([queue]).ready()
    gang = await queue.enqueue(sys.executable, "-c", MEET, nodes=3)
    members = [member_id(gang, rank) for rank in range(3)]
    for rank, member in enumerate(members):
        task = await queue.ended(member)
        assert task.name_of_state == "completed", task
        assert task.spec.gang.rank == rank and task.spec.gang.id == gang
        assert await queue.lines(member, "o") == ["met [1, 2]"]
    starts = [(await queue.client.get(one)).past[0].launch.at for one in members]
    print("spread", max(starts) - min(starts))
