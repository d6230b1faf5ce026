"""What the options of `evq trigger add` say: what it waits for, and what it does."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...core import units
from ...core.errors import UsageError
from ...core.ids import check_name
from ...core.spec import secret_names
from ...services.trigger.actions import check_webhook
from ...services.trigger.conditions import (
    Condition,
    Events,
    Filter,
    LongQueue,
    check_kinds,
    read_crossing,
)
from ...services.trigger.facts import Do, Enqueue, Tell, Webhook
from .captured import captured_array, of_enqueue

COMMAND = ("-q", "services", "--env", "agent", "--client", "--no-code", "--", "sh", "-c")
"""What `--do` is in words of `evq enqueue`."""


def read_condition(
    *,
    kinds: str | None,
    metric: str | None,
    queue_longer: str | None,
    lasting: str | None,
    task_name: str,
    **which: str,
) -> Condition:
    """What the options of `add` wait for. Raises `UsageError`."""
    given = {"--on": kinds, "--metric": metric, "--queue-longer": queue_longer}
    _check_one(
        given,
        "a trigger needs one of --on, --metric and --queue-longer",
        none="it says what it waits for",
        fix="--on failed",
    )
    filters = Filter(name=task_name, **which)
    if lasting and not queue_longer:
        raise UsageError("--for means nothing without --queue-longer")
    if kinds:
        return Events(check_kinds(tuple(one.strip() for one in kinds.split(","))), filters)
    if metric:
        return read_crossing(metric, filters)
    assert queue_longer is not None
    queue, _, most = queue_longer.partition("=")
    if not most.isdigit() or filters != Filter():
        raise UsageError(
            f"--queue-longer {queue_longer} says not which queue is too long when",
            why="it is a queue, = and a number, and no other filter",
            fix="--queue-longer gpu=20",
        )
    seconds = units.seconds(lasting) if lasting else 0.0
    return LongQueue(queue=check_name(queue, "queue"), more_than=int(most), seconds=seconds)


def read_action(
    words: tuple[str, ...], command: str | None, webhook: str | None, alerts: tuple[str, ...]
) -> Do:
    """What the options of `add` do. Raises `UsageError`."""
    given = {"--do": command, "--webhook": webhook, "--alert": alerts, "-- WORDS": words}
    _check_one(
        given,
        "a trigger does one thing: --do, --webhook, --alert, or what stands after --",
        none="nothing is given",
        fix="evq trigger add NAME --on failed --alert team",
    )
    if webhook:
        return Webhook(check_webhook(webhook))
    if alerts:
        return Tell(alerts)
    if command:
        # By the agent's own Python, so that `evq` is on its path.
        words = (*COMMAND, command)
    return Enqueue(*captured_array(of_enqueue(words)))


def _check_one(given: Mapping[str, object], what: str, *, none: str, fix: str) -> None:
    """Raise `UsageError` unless one option is given, and one alone; `none` says why if none is."""
    named = [option for option, value in given.items() if value]
    if len(named) != 1:
        raise UsageError(what, why=f"{' and '.join(named)} are given" if named else none, fix=fix)


def signed(name: str, do: Do, secret: str) -> Webhook:
    """A webhook that is signed with a secret. Raises `UsageError`."""
    from ...services.trigger.controller import CONTROLLER

    secret_names((secret,))
    if not isinstance(do, Webhook) or "=" in secret:
        raise UsageError(
            f"--secret {secret} means nothing here",
            why="it is the name of a secret with which --webhook is signed",
            fix="--webhook https://host/path --secret HOOK",
        )
    if name == CONTROLLER:
        raise UsageError(
            f"a trigger with a secret cannot be called {name}",
            why="the controller of all that have none is called so",
            fix="give it another name",
        )
    return msgspec.structs.replace(do, secret=secret)
