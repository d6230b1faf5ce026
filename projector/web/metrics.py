"""`/metrics`: the fleet in figures, as Prometheus reads them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from fastapi import Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from ...core.sdk.live import LiveFleet
from .source import Source

WAITING = ("held", "queued", "claimed", "running")
ENDED = ("completed", "failed", "aborted", "timed_out")


def metrics_of(source: Source) -> Callable[[], Awaitable[Response]]:
    """The handler of `/metrics`. It asks nobody: all is in the live fleet."""
    registry = CollectorRegistry()
    registry.register(_Fleet(source.fleet))

    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return metrics


class _Fleet:
    """Collects the figures whenever they are asked for."""

    def __init__(self, fleet: LiveFleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield from self._freshness()
        yield from self._queues()
        yield from self._workers()
        yield from self._gpus()

    def describe(self) -> list[Metric]:
        """Nothing: the names depend on nothing that could clash."""
        return []

    def _freshness(self) -> Iterator[Metric]:
        fleet = self._fleet
        yield _gauge("evq_connected", "Whether the NATS server is there.", fleet.connected)
        yield _gauge("evq_log_seq", "The last event that is known here.", fleet.seq)
        behind = fleet.seq - fleet.projected if fleet.projected is not None else float("nan")
        yield _gauge("evq_projector_behind", "Events that the database does not have yet.", behind)

    def _queues(self) -> Iterator[Metric]:
        live = GaugeMetricFamily(
            "evq_tasks", "Tasks that have not ended.", labels=["queue", "state"]
        )
        ended = CounterMetricFamily(
            "evq_tasks_ended", "Tasks that have ended, ever.", labels=["queue", "outcome"]
        )
        oldest = GaugeMetricFamily(
            "evq_queue_oldest_seconds", "For how long the oldest waits.", labels=["queue"]
        )
        paused = GaugeMetricFamily("evq_queue_paused", "Whether it is paused.", labels=["queue"])
        agents = GaugeMetricFamily("evq_queue_agents", "How many serve it.", labels=["queue"])
        now = time.time()
        for queue in self._fleet.queues.values():
            for state in WAITING:
                live.add_metric([queue.name, state], getattr(queue, state))
            for outcome in ENDED:
                ended.add_metric([queue.name, outcome], getattr(queue, outcome))
            waits = now - queue.oldest / 1e6 if queue.oldest is not None else 0.0
            oldest.add_metric([queue.name], max(0.0, waits))
            paused.add_metric([queue.name], queue.state == "paused")
            agents.add_metric([queue.name], len(queue.agents))
        yield from (live, ended, oldest, paused, agents)

    def _workers(self) -> Iterator[Metric]:
        states = Counter(agent.state for agent in self._fleet.agents.values())
        workers = GaugeMetricFamily("evq_workers", "Agents by state.", labels=["state"])
        for state, count in states.items():
            workers.add_metric([state], count)
        slots = GaugeMetricFamily("evq_worker_slots", "Tasks it may run at once.", labels=["agent"])
        busy = GaugeMetricFamily("evq_worker_busy", "Tasks that it runs.", labels=["agent"])
        for agent in self._fleet.agents.values():
            if agent.presence:
                slots.add_metric([agent.name], agent.slots)
                busy.add_metric([agent.name], agent.busy)
        yield from (workers, slots, busy)

    def _gpus(self) -> Iterator[Metric]:
        names = ["agent", "gpu"]
        taken = GaugeMetricFamily("evq_gpu_taken", "Whether a task has it.", labels=names)
        used = GaugeMetricFamily("evq_gpu_utilisation", "Per cent.", labels=names)
        memory = GaugeMetricFamily("evq_gpu_memory_bytes", "Memory in use.", labels=names)
        for agent in self._fleet.agents.values():
            if agent.presence is None:
                continue
            for device in agent.presence.free.devices:
                idle = device.takes(None) or bool(device.foreign or device.drained)
                taken.add_metric([agent.name, device.id], not idle)
            if agent.sample is None or agent.sample.gpus is None:
                continue
            gpus = agent.sample.gpus
            for id, load, bytes_used in zip(gpus.id, gpus.utilisation, gpus.memory, strict=True):
                if load is not None:
                    used.add_metric([agent.name, id], load[-1])
                if bytes_used is not None:
                    memory.add_metric([agent.name, id], bytes_used[-1])
        yield from (taken, used, memory)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)
