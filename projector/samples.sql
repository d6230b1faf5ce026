-- What agents saw of their machines. samples/columns.py makes the tables of samples, minutes and
-- hours and their views; here is what those stand on. docs/views.md describes the views.

CREATE TYPE figure AS STRUCT(mean DOUBLE, max DOUBLE, last DOUBLE);

-- How far samples have been summed up, step by step: minutes out of samples, hours out of minutes.
CREATE TABLE _rolled (unit VARCHAR NOT NULL, seq BIGINT NOT NULL);
INSERT INTO _rolled VALUES ('minute', 0), ('hour', 0);

CREATE MACRO _figure(t) AS
    CASE WHEN t IS NOT NULL THEN {'mean': t[1], 'max': t[2], 'last': t[3]}::figure END;

CREATE MACRO _scale(f, factor) AS CASE WHEN f IS NOT NULL THEN
    {'mean': f.mean * factor, 'max': f.max * factor, 'last': f.last * factor}::figure END;

-- The figure of several, each with its weight and its place in the order.
CREATE MACRO _gather(f, n, place) AS
    CASE WHEN count(f.mean) > 0 THEN {
        'mean': round(sum(f.mean * n) / sum(n) FILTER (f.mean IS NOT NULL), 1),
        'max': max(f.max), 'last': arg_max(f.last, place)}::figure END;

CREATE MACRO _sample(record) AS from_json(record, '{
    "agent": "VARCHAR", "instance": "VARCHAR", "number": "BIGINT", "at": "BIGINT",
    "seconds": "DOUBLE", "readings": "BIGINT", "cores": ["UTINYINT"], "trouble": "VARCHAR",
    "machine": {"cpu": ["DOUBLE"], "load": ["DOUBLE"], "temperature": ["DOUBLE"],
        "memory": ["DOUBLE"], "memory_total": "BIGINT", "swap": ["DOUBLE"],
        "swap_total": "BIGINT", "disk": ["DOUBLE"], "disk_total": "BIGINT",
        "disk_read": ["DOUBLE"], "disk_write": ["DOUBLE"], "net_in": ["DOUBLE"],
        "net_out": ["DOUBLE"]},
    "gpus": {"index": ["INTEGER"], "id": ["VARCHAR"], "name": ["VARCHAR"], "total": ["BIGINT"],
        "limit": ["DOUBLE"], "utilisation": [["DOUBLE"]], "memory_utilisation": [["DOUBLE"]],
        "memory": [["DOUBLE"]], "temperature": [["DOUBLE"]], "power": [["DOUBLE"]],
        "clock": [["DOUBLE"]], "memory_clock": [["DOUBLE"]], "outside": [["DOUBLE"]],
        "trouble": ["VARCHAR"]},
    "processes": {"gpu": ["INTEGER"], "pid": ["BIGINT"], "user": ["VARCHAR"],
        "name": ["VARCHAR"], "memory": ["BIGINT"], "claim": ["BIGINT"]},
    "shares": {"claim": ["BIGINT"], "task": ["VARCHAR"], "attempt": ["INTEGER"],
        "cpu": [["DOUBLE"]], "memory": [["DOUBLE"]], "processes": [["DOUBLE"]],
        "gpu": [["DOUBLE"]], "gpu_memory": [["DOUBLE"]]}}');

-- The last sample of each agent.
CREATE TABLE _latest_samples AS
SELECT NULL::VARCHAR AS agent, NULL::BIGINT AS seq, _sample('{}') AS r WITH NO DATA;

-- The end of the year 9999 is the last time that a writer's clock may show; see rows.py.
CREATE MACRO _when(clock) AS make_timestamp(least(greatest(clock, 0), 253402300799999999));

CREATE MACRO _machine_rows(source) AS TABLE
SELECT seq, _when(r."at") AS ts, r.agent, r.seconds, r.readings,
    r.machine.memory_total, r.machine.swap_total, r.machine.disk_total,
    _figure(r.machine.cpu) AS cpu, _figure(r.machine.load) AS load,
    _figure(r.machine.temperature) AS temperature, _figure(r.machine.memory) AS memory,
    _figure(r.machine.swap) AS swap, _figure(r.machine.disk) AS disk,
    _figure(r.machine.disk_read) AS disk_read, _figure(r.machine.disk_write) AS disk_write,
    _figure(r.machine.net_in) AS net_in, _figure(r.machine.net_out) AS net_out,
    r.instance, r.number, r.cores, coalesce(r.trouble, '') AS trouble
FROM query_table(source);

CREATE MACRO _gpu_rows(source) AS TABLE
SELECT seq, ts, agent, gpu, seconds, readings, "index", memory_total,
    _figure(u) AS utilisation, _figure(mu) AS memory_utilisation, _figure(m) AS memory,
    _figure(t) AS temperature, _figure(p) AS power, _figure(c) AS clock,
    _figure(mc) AS memory_clock, _figure(o) AS outside, trouble, name, power_limit
FROM (SELECT seq, _when(r."at") AS ts, r.agent, r.seconds, r.readings,
        unnest(r.gpus.id) AS gpu, unnest(r.gpus."index") AS "index",
        unnest(r.gpus.total) AS memory_total, unnest(r.gpus.utilisation) AS u,
        unnest(r.gpus.memory_utilisation) AS mu, unnest(r.gpus.memory) AS m,
        unnest(r.gpus.temperature) AS t, unnest(r.gpus.power) AS p, unnest(r.gpus.clock) AS c,
        unnest(r.gpus.memory_clock) AS mc, unnest(r.gpus.outside) AS o,
        unnest(r.gpus.trouble) AS trouble, unnest(r.gpus.name) AS name,
        unnest(r.gpus."limit") AS power_limit
    FROM query_table(source));

CREATE MACRO _task_rows(source) AS TABLE
SELECT seq, ts, task, attempt, agent, claim, seconds, readings, _figure(c) AS cpu,
    _figure(m) AS memory, _figure(n) AS processes, _figure(g) AS gpu, _figure(gm) AS gpu_memory
FROM (SELECT seq, _when(r."at") AS ts, r.agent, r.seconds, r.readings,
        unnest(r.shares.claim) AS claim, unnest(r.shares.task) AS task,
        unnest(r.shares.attempt) AS attempt, unnest(r.shares.cpu) AS c,
        unnest(r.shares.memory) AS m, unnest(r.shares.processes) AS n,
        unnest(r.shares.gpu) AS g, unnest(r.shares.gpu_memory) AS gm
    FROM query_table(source));

CREATE VIEW gpu_processes AS
SELECT p.ts, p.agent, p.gpu, p.pid, p."user", p.name, p.memory * 1048576 AS memory, a.task
FROM (SELECT _when(r."at") AS ts, r.agent, r.gpus.id[1 + unnest(r.processes.gpu)] AS gpu,
        unnest(r.processes.pid) AS pid, unnest(r.processes."user") AS "user",
        unnest(r.processes.name) AS name, unnest(r.processes.memory) AS memory,
        unnest(r.processes.claim) AS claim
    FROM _latest_samples) p
LEFT JOIN _attempts a USING (claim);
