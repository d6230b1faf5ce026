"""The whole fleet, live, for screens.

    async with live_fleet(client) as fleet:
        show(fleet)
        seen = 0
        while True:
            changes = await fleet.changed(seen)
            seen = changes.version
            if changes.everything:
                show(fleet)
            for name in changes.tasks:
                update_row(name, fleet.tasks.get(name))      # None: no longer kept
            for name in changes.queues:
                update_queue(fleet.queues.get(name))
            for name in changes.agents:
                update_agent(fleet.agents.get(name))
            say(fleet.connected, fleet.behind, fleet.projected)

One fleet serves any number of pages: each has a version of its own, and what happens meanwhile is
gathered (`rest` seconds), so that hundreds of events are one update. Everything that is read is a
frozen struct of `rows.py` with times in microseconds since 1970:

    fleet.tasks           all that have not ended, and the last 1000 that have: light rows
    fleet.ended           those that have, the latest first; fleet.with_agents() those that run
    fleet.line(queue)     who waits there, in order; fleet.position(task) is one's place
    fleet.queues          counts, state, next task, who serves it, its limit
    fleet.agents          `presence` (offer, free, running, reserved), last `sample`, `record`
    fleet.recent_events   what happened lately, in words
    fleet.seq, .behind    how far this is, and how many events it is behind the log
    fleet.connected       whether the server is there; if not, all is as it was
    fleet.projected       how far the database is, None while no projector answers

The state comes from a projector at a sequence, and from there on from the log itself, through one
ordered subscription and the one fold: no gap, no duplicate. A projector that dies is not missed; a
server that comes back is followed from where we were. `client.get(task)` gives a whole task.
"""

from .fleet import LiveFleet as LiveFleet
from .fleet import live_fleet as live_fleet
from .rows import Changes as Changes
from .rows import LiveAgent as LiveAgent
from .rows import LiveEvent as LiveEvent
from .rows import LiveQueue as LiveQueue
from .rows import LiveTask as LiveTask
from .rows import live_task as live_task
