"""Lists or prunes the caches, and says so in JSON: `python -m evq.agent.caches`.

A process of its own, because looking through a large cache would make an agent's event loop
stumble. `evq cache` runs it, and so does every agent's caretaker.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from ..config import parse_kinds
from ..environments.locks import try_hold
from . import Choose, caches_of, prune, surplus, unused
from .base import Entry

PATIENT = 19
"""The niceness of this process: tasks come first."""


class Report(msgspec.Struct, kw_only=True):
    """What there is, or what was or would be removed; what is left takes `left` bytes. `kinds`
    are all kinds of caches that an agent has.

    `busy` says that another process prunes this cache at this moment, so that nothing was done.
    """

    entries: list[Entry]
    left: int
    kinds: list[str] = []
    busy: bool = False


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, which `evq cache` has checked."""
    parser = argparse.ArgumentParser(prog="evq cache")
    parser.add_argument("action", choices=("ls", "prune"))
    parser.add_argument("--cache-dir", type=Path, required=True)
    parser.add_argument("--to", type=int)
    parser.add_argument("--free", type=int)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--unused", type=float)
    parser.add_argument("--kind", action="append")
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args(argv)


def report(options: argparse.Namespace) -> Report:
    """Do what the options say."""
    caches = [
        cache
        for cache in caches_of(options.cache_dir)
        if options.kind is None or cache.kind in options.kind
    ]  # fmt: skip
    entries = [entry for cache in caches for entry in cache.entries()]
    total = sum(entry.bytes for entry in entries)
    if options.action == "ls":
        return Report(entries=entries, left=total)
    choose = chooser(options, total)
    if options.dry_run:
        gone = list(choose(entries))
        return Report(entries=gone, left=total - sum(entry.bytes for entry in gone))
    options.cache_dir.mkdir(parents=True, exist_ok=True)
    held = try_hold(options.cache_dir / "prune.lock", shared=False, create=True)
    if held is None:
        return Report(entries=[], left=total, busy=True)
    with held:
        gone = prune(caches, choose)
    left = sum(entry.bytes for cache in caches for entry in cache.entries())
    return Report(entries=gone, left=left)


def chooser(options: argparse.Namespace, total: int) -> Choose:
    """What the options want to go of caches that have `total` bytes."""
    if options.unused is not None:
        return partial(unused, before=time.time() - options.unused)
    bound = options.to if options.free is None else max(0, total - options.free)
    return partial(surplus, total=bound, kinds=parse_kinds(options.kinds))


def main() -> None:
    """Print the report as one JSON object."""
    os.nice(PATIENT)
    options = parse(None)
    found = report(options)
    found.kinds = [cache.kind for cache in caches_of(options.cache_dir)]
    sys.stdout.buffer.write(msgspec.json.encode(found))
