-- Words that all other SQL uses. Times are timestamps without a zone, in UTC, whatever the zone of
-- the machine is.

CREATE OR REPLACE MACRO _now() AS make_timestamp(epoch_us(now()));

CREATE OR REPLACE MACRO _seconds(earlier, later) AS (epoch_us(later) - epoch_us(earlier)) / 1e6;

-- Nothing here is a century old.
CREATE OR REPLACE MACRO _ago(days) AS
    _now() - to_microseconds((least(days::DOUBLE, 36525) * 86400e6)::BIGINT);

-- The first of the buckets of time that reach back so many days; there are no more than 10,000.
CREATE OR REPLACE MACRO _first(every, days) AS
    date_trunc(every, greatest(_ago(days), _now() - 10000 * ('1 ' || every)::INTERVAL));

-- For how many seconds of a stretch, whose end may be open, it was later than `start`.
CREATE OR REPLACE MACRO _since(start, since, until) AS
    greatest(0.0, _seconds(greatest(since, start), coalesce(until, _now())));

-- How long, in seconds, a stretch and a bucket of time are both there.
CREATE OR REPLACE MACRO _overlap(since, until, ts, ends) AS
    greatest(0.0, _seconds(greatest(since, ts), least(coalesce(until, _now()), ends)));

-- Whether a value is the wanted one, if one is wanted.
CREATE OR REPLACE MACRO _is(wanted, value) AS wanted::VARCHAR IS NULL OR value = wanted::VARCHAR;

CREATE OR REPLACE MACRO _quantile(value, part) AS round(quantile_cont(value, part), 3);

CREATE OR REPLACE MACRO _share(part, whole) AS round(part / nullif(whole, 0), 4);

-- Whether an attempt ended badly, and not because somebody or another task wanted its end.
CREATE OR REPLACE MACRO _failed(outcome, cause) AS
    coalesce(outcome IN ('failed', 'timed_out', 'lost')
        AND coalesce(cause, '') NOT IN ('gang', 'drained', 'abort', 'dependency'), false);

-- What tasks have in common that run the same with other arguments: the first word of their names.
CREATE OR REPLACE MACRO _work(name) AS split_part(name, ' ', 1);

-- What a part of a GPU counts, if so many bytes of its memory are taken: all of it where it is
-- not shared, or where nobody said how large it is.
CREATE OR REPLACE MACRO _part(taken, memory) AS
    CASE WHEN taken IS NULL OR memory IS NULL THEN 1.0 ELSE least(1.0, taken / memory) END;
