"""The minutes and hours of a fleet from before its samples begin, written as they were summed up.

By minute for two days, by hour for as long as there are tasks; see projector/samples.sql.
"""

from __future__ import annotations

from history import DAY, Plan
from voice import SECOND

from evq.projector.samples.columns import GPU, HOUR, KINDS, MACHINE, MINUTE, TASK, Kind, stored
from evq.projector.store import Database

MINUTES_DAYS = 2.0
_SECONDS = {MINUTE: 60, HOUR: 3600}

# Pseudo-random, between 0 and 1, the same for the same words.
_DICE = "(hash({}) % 10007 / 10007.0)"

_RANGES = {
    "cpu": (20, 60),
    "load": (20, 40),
    "temperature": (50, 70),
    "memory": (20_000, 60_000),
    "swap": (0, 0),
    "disk": (900_000, 900_001),
    "disk_read": (0, 200_000),
    "disk_write": (0, 100_000),
    "net_in": (0, 100_000),
    "net_out": (0, 10_000),
    "utilisation": (40, 100),
    "memory_utilisation": (20, 60),
    "power": (200, 400),
    "clock": (1300, 1410),
    "memory_clock": (1593, 1593),
    "outside": (0, 0),
    "processes": (9, 9),
    "gpu": (60, 100),
    "gpu_memory": (20_000, 60_000),
}


def write_old_samples(database: Database, plan: Plan, hours: float) -> None:
    """Write what was before the last `hours`."""
    until = plan.end - int(hours * 3600 * SECOND)
    for unit, days in ((MINUTE, min(MINUTES_DAYS, plan.days)), (HOUR, plan.days)):
        since = plan.end - int(days * DAY)
        with database.transaction():
            for kind in KINDS:
                database.execute(_insert(kind, unit, since, until))


def _insert(kind: Kind, unit: str, since: int, until: int) -> str:
    columns = {name for name in stored(kind) if name not in kind.extras}
    facts = {"memory_total": 1_031_000, "swap_total": 0, "disk_total": 3_600_000}
    if kind is GPU:
        facts["memory_total"] = 81_920
    values = [
        "0 AS seq",
        f"{_SECONDS[unit]}.0 AS seconds",
        f"{_SECONDS[unit] // 2} AS readings",
        *(f"{value} AS {name}" for name, value in facts.items() if name in columns),
        *(_figure(name, *_RANGES[name]) for name in kind.figures),
    ]
    return f"""
INSERT INTO {kind.rolled(unit)} BY NAME
SELECT * EXCLUDE (thing), {", ".join(values)}
FROM ({_things(kind, unit, since, until)}) ORDER BY ts"""


def _figure(name: str, least: float, most: float) -> str:
    mean = f"round({least} + {most - least} * {_DICE.format(f'thing, ts, {name!r}')}, 1)"
    return f"{{'mean': {mean}, 'max': {mean} * 1.05, 'last': {mean}}}::figure AS \"{name}\""


def _things(kind: Kind, unit: str, since: int, until: int) -> str:
    begin, end = (f"date_trunc('{unit}', make_timestamp({at}))" for at in (since, until))
    clock = f"(SELECT unnest(range({begin}, {end}, INTERVAL 1 {unit})) AS ts)"
    match kind.name:
        case MACHINE.name:
            return f"SELECT ts, agent, agent AS thing FROM {clock}, _agents"
        case GPU.name:
            gpus = 'SELECT agent, gpu, "index" FROM _gpu_samples GROUP BY ALL'
            return f'SELECT ts, agent, gpu, "index", gpu AS thing FROM {clock}, ({gpus})'
        case TASK.name:
            pass
    return (
        f"SELECT ts, task, attempt, agent, claim, claim AS thing FROM {clock} JOIN _attempts"
        f" ON ts BETWEEN claimed AND coalesce(ended, make_timestamp({until}))"
    )
