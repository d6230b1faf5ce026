"""What it costs to keep secrets out of a log of 100 MB, beside making lines of it alone.

uv run python benchmarks/redactor.py
"""

from __future__ import annotations

import secrets
import time

from evq.agent.reporting.output import LineSplitter
from evq.agent.reporting.redactor import RedactedStream, Redactor

LINE = b"2026-01-01 12:00:00 INFO epoch 12 step 3456 loss 0.123456 acc 0.9876 lr 0.0001\n"
READ = (LINE * 820)[: 64 * 1024]
READS = 1600
SMALL_READS = 20_000


def seconds(stream: RedactedStream | None) -> float:
    """Seconds for the whole log, in reads of 64 KiB."""
    splitter = LineSplitter("out")
    began = time.perf_counter()
    for _ in range(READS):
        splitter.feed(stream.feed(READ) if stream else READ, 0)
    return time.perf_counter() - began


def each_print(stream: RedactedStream) -> float:
    """Seconds for one read of a single line."""
    began = time.perf_counter()
    for _ in range(SMALL_READS):
        stream.feed(LINE)
    return (time.perf_counter() - began) / SMALL_READS


def main() -> None:
    tokens = {f"TOKEN_{number}": secrets.token_urlsafe(30) for number in range(3)}
    key = "\n".join(secrets.token_urlsafe(48) for _ in range(26))
    known = {
        "no secrets": {},
        "one token": {"TOKEN": tokens["TOKEN_0"]},
        "three tokens": tokens,
        "a key of 26 lines": {"KEY": key},
    }
    print(f"{'lines alone':20} {seconds(None):6.2f} s")
    for name, values in known.items():
        redactor = Redactor(values)
        whole, one = seconds(RedactedStream(redactor)), each_print(RedactedStream(redactor))
        print(f"{name:20} {whole:6.2f} s   {one * 1e6:5.1f} µs a line read by itself")


if __name__ == "__main__":
    main()
