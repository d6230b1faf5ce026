"""The pages of the dashboard: what each asks when it is opened, and where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from big_history import Facts
from live_load import Running, read_running

from evq.core.questions import Named, Sql
from evq.projector.catalogue import questions
from evq.projector.store import Database, database_file

WORKER = "gpu-001"
OWN_QUERY = Sql("SELECT state, count(*) FROM tasks GROUP BY ALL")


class Chosen(msgspec.Struct, frozen=True):
    """What the pages are opened for: a task of the usual size, and a hundred to compare."""

    running: list[Running]
    usual: str
    compared: list[str]


def choose(store: Path) -> Chosen:
    """Look into the database before a projector holds it."""
    database = Database(database_file(store))
    try:
        ended = [
            task
            for (task,) in database.rows(
                "SELECT task FROM _tasks WHERE state = 'completed' AND project = 'vision'"
                " ORDER BY origin DESC LIMIT 1000"
            )
        ]
        return Chosen(read_running(database), ended[0], ended[::10])
    finally:
        database.close()


def page_paths(facts: Facts, chosen: Chosen) -> list[str]:
    """Where the pages are."""
    return [
        "/",
        f"/workers/{WORKER}",
        "/queues/default",
        "/tasks",
        f"/tasks/{chosen.usual}",
        f"/tasks/{facts.longest}",
        "/compare?tasks=" + ",".join(chosen.compared),
        "/services",
        "/sql",
    ]


def page_questions(facts: Facts, chosen: Chosen) -> dict[str, list[Named | Sql]]:
    """What pages ask."""
    asked: dict[str, list[Named | Sql]] = {
        "workers and queues": [
            *(_named(name) for name in ("agents", "queues", "machine", "machine_gpus")),
            *(_named(name) for name in ("machine_tasks", "fleet_curve", "fleet_ends")),
        ],
        "… the live fleet": [
            _named(f"live_{what}") for what in ("tasks", "queues", "agents", "events")
        ],
        "… one worker, 3 days": [
            _named("machine_curve", agent=WORKER, hours=72),
            _named("worker_curve", agent=WORKER, hours=72),
            _named("worker_gpu_curve", agent=WORKER, hours=72),
            _named("worker_attempts", agent=WORKER),
        ],
        "… a queue, 24 h": [_named("queue_depth"), _named("queue_curve", queue="default")],
        "tasks": [
            *(_named(name) for name in ("tasks", "task_page", "task_count", "task_columns")),
        ],
        "… their facets": [
            _named("task_facet", facet=facet)
            for facet in ("state", "queue", "user", "project", "cause")
        ],
        "… the 500th page": [_named("tasks", offset=50_000), _named("task_page", offset=50_000)],
        "… failed ones of a user": [_named("tasks", states=["failed"], user="ada")],
        "a task": _of_task(chosen.usual),
        f"… with a metric of {facts.plan.longest:,} points": _of_task(facts.longest),
        "… a thousandth of that metric": [
            _named("curve", tasks=[facts.longest], start=5_000_000, end=5_010_000, pixels=800)
        ],
        f"compare {len(chosen.compared)}": [
            _named("curve", tasks=chosen.compared, names=["train/loss"], pixels=400),
            _named("task_metrics", tasks=chosen.compared),
        ],
        "a query of one's own": [OWN_QUERY],
    }
    known = {
        page: [one for one in asks if isinstance(one, Sql) or one.name in questions()]
        for page, asks in asked.items()
    }
    return {page: asks for page, asks in known.items() if asks}


def _of_task(task: str) -> list[Named | Sql]:
    return [
        _named("show", task=task),
        _named("logs", task=task, limit=500),
        _named("events", task=task),
        _named("metrics", task=task),
        _named("curve", tasks=[task], pixels=800),
        _named("task_curve", task=task),
    ]


def _named(name: str, **params: Any) -> Named | Sql:
    # A page follows the log from what it was told, so that it need not wait for the newest.
    return Named(name, params, fresh=False)
