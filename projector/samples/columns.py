"""The tables and views of samples: in full, by minute and by hour, for each kind of thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

MEBI, KIBI = 2**20, 2**10

MINUTE, HOUR = "minute", "hour"
UNITS = (MINUTE, HOUR)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: a machine, a GPU, or a task's share.

    `keys` tell its rows of one time apart. `facts` change rarely, and the largest one stands for
    a minute. `figures` have a mean, a largest and a last value each; they are multiplied by a
    number in the view, because bytes would take more room. `extras` are not summed up.
    """

    name: str
    keys: Mapping[str, str]
    facts: Mapping[str, tuple[str, int]]
    figures: Mapping[str, int]
    extras: Mapping[str, str]

    @property
    def samples(self) -> str:
        """The table of what was seen."""
        return f"_{self.name}_samples"

    def rolled(self, unit: str) -> str:
        """The table of what is summed up by `unit`."""
        return f"_{self.name}_{unit}s"


MACHINE = Kind(
    name="machine",
    keys={"agent": "VARCHAR"},
    facts={
        "memory_total": ("BIGINT", MEBI),
        "swap_total": ("BIGINT", MEBI),
        "disk_total": ("BIGINT", MEBI),
    },
    figures={
        "cpu": 1,
        "load": 1,
        "temperature": 1,
        "memory": MEBI,
        "swap": MEBI,
        "disk": MEBI,
        "disk_read": KIBI,
        "disk_write": KIBI,
        "net_in": KIBI,
        "net_out": KIBI,
    },
    extras={
        "instance": "VARCHAR",
        "number": "BIGINT",
        "cores": "UTINYINT[]",
        "trouble": "VARCHAR",
    },
)
GPU = Kind(
    name="gpu",
    keys={"agent": "VARCHAR", "gpu": "VARCHAR"},
    facts={"index": ("INTEGER", 1), "memory_total": ("BIGINT", MEBI)},
    figures={
        "utilisation": 1,
        "memory_utilisation": 1,
        "memory": MEBI,
        "temperature": 1,
        "power": 1,
        "clock": 1,
        "memory_clock": 1,
        "outside": MEBI,
    },
    extras={"trouble": "VARCHAR", "name": "VARCHAR", "power_limit": "DOUBLE"},
)
TASK = Kind(
    name="task",
    keys={"task": "VARCHAR", "attempt": "INTEGER", "agent": "VARCHAR", "claim": "BIGINT"},
    facts={},
    figures={"cpu": 1, "memory": MEBI, "processes": 1, "gpu": 1, "gpu_memory": MEBI},
    extras={},
)
KINDS = (MACHINE, GPU, TASK)


def schema() -> Iterator[str]:
    """The statements that make them all, after those of `samples.sql`."""
    for kind in KINDS:
        yield _table(kind)
        yield f"CREATE VIEW {kind.name}_samples AS {_in_full(kind, kind.samples)}"
        for unit in UNITS:
            yield _rolled_table(kind, unit)
            yield f"CREATE VIEW {kind.name}_{unit}s AS {_summed_up(kind, unit)}"
        latest = _in_full(kind, f"_{kind.name}_rows('_latest_samples')")
        yield f"CREATE VIEW {kind.name}_latest AS {latest}"


def _columns(columns: Mapping[str, str]) -> str:
    return "".join(f', "{name}" {kind}' for name, kind in columns.items())


def stored(kind: Kind) -> dict[str, str]:
    """The columns of its table of samples."""
    return {
        "seq": "BIGINT",
        "ts": "TIMESTAMP",
        **kind.keys,
        "seconds": "DOUBLE",
        "readings": "BIGINT",
        **{name: column for name, (column, _) in kind.facts.items()},
        **dict.fromkeys(kind.figures, "figure"),
        **kind.extras,
    }


def _table(kind: Kind) -> str:
    return f"CREATE TABLE {kind.samples} ({_columns(stored(kind))[1:]})"


def _rolled_table(kind: Kind, unit: str) -> str:
    columns = {name: c for name, c in stored(kind).items() if name not in kind.extras}
    return f"CREATE TABLE {kind.rolled(unit)} ({_columns(columns)[1:]})"


def _in_full(kind: Kind, source: str) -> str:
    facts = (_times(f'"{name}"', by, name) for name, (_, by) in kind.facts.items())
    figures = (_scaled(f'"{name}"', by, name) for name, by in kind.figures.items())
    words = ["ts", *kind.keys, "seconds", "readings", *facts, *figures, *kind.extras]
    return f"SELECT {', '.join(words)} FROM {source}"


def gathered(kind: Kind, unit: str, source: str) -> str:
    """A query for the rows of `source` summed up by `unit`, as they are stored."""
    return _gathered(kind, f"(SELECT {_by(unit, kind)} FROM {source})")


def _gathered(kind: Kind, source: str) -> str:
    words = [
        "max(seq) AS seq",
        "ts",
        *kind.keys,
        "sum(seconds) AS seconds",
        "sum(readings)::BIGINT AS readings",
        *(f'max("{name}") AS "{name}"' for name in kind.facts),
        *(f'_gather("{name}", readings, seq) AS "{name}"' for name in kind.figures),
    ]
    return f"SELECT {', '.join(words)} FROM {source} GROUP BY ts, {', '.join(kind.keys)}"


def _by(unit: str | None, kind: Kind) -> str:
    """Its columns that can be summed up, with the time that `unit` began."""
    columns = (name for name in stored(kind) if name not in kind.extras)
    return ", ".join(
        f"date_trunc('{unit}', ts) AS ts" if unit and name == "ts" else f'"{name}"'
        for name in columns
    )


def _summed_up(kind: Kind, unit: str) -> str:
    """What was summed up, with what came since. Rows of one time are put together here: a step
    of summing up may end in the middle of a minute.

    Times that are stored stay as they are, so that a query for some of them finds them by zones.
    """
    tables = {kind.samples: MINUTE}
    if unit == HOUR:
        tables[kind.rolled(MINUTE)] = HOUR
    rows = f"SELECT {_by(None, kind)} FROM {kind.rolled(unit)}" + "".join(
        f" UNION ALL SELECT {_by(unit, kind)} FROM {table}"
        f" WHERE seq > (SELECT max(seq) FROM _rolled WHERE unit = '{mark}')"
        for table, mark in tables.items()
    )
    facts = (_times(f'"{name}"', by, name) for name, (_, by) in kind.facts.items())
    figures = (_scaled(f'"{name}"', by, name) for name, by in kind.figures.items())
    words = ["ts", *kind.keys, "seconds", "readings", *facts, *figures]
    return f"SELECT {', '.join(words)} FROM ({_gathered(kind, f'({rows})')})"


def _times(value: str, by: int, name: str) -> str:
    return f'"{name}"' if by == 1 else f'{value} * {by} AS "{name}"'


def _scaled(value: str, by: int, name: str) -> str:
    return f'"{name}"' if by == 1 else f'_scale({value}, {by}) AS "{name}"'
