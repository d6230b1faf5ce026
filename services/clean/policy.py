"""What may go, and what must stay: the rules of a policy file.

min_age = "1d"           # nothing goes of a task that ended a shorter time ago
keep_tags = ["paper"]    # nothing goes of a task with one of these tags

[[rule]]
what = ["logs", "metrics"]
older = "30d"
state = ["failed", "aborted"]

[[rule]]
what = ["artifacts"]
project = ["digits"]
keep_last = 10           # but for the ten that ended last
most = "50GiB"           # as long as all of them together are larger

[[caches]]               # of agents
older = "14d"
kinds = ["environments", "images"]
agents = ["gpu-*"]
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...core.cleaning.cleaned import What
from ...core.errors import UsageError
from ...core.outcomes import Outcome
from ...core.sdk.reading import parse_toml
from ...core.units import duration_text, seconds, size, size_text

DAY = 86_400.0
LEAST_UNUSED = 3600.0
STATES = tuple(outcome.value for outcome in Outcome)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of which tasks goes. A task has to be like all that is said: of one of these projects,
    queues, users and states, with one of these tags, in the archive or not.

    It goes if its task ended `older` seconds ago, is not among the `keep_last` that ended last, and
    as long as what is newer of this kind does not fit into `most` bytes; what is not said does not
    matter.
    """

    what: tuple[What, ...]
    older: float | None = None
    project: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    archived: bool | None = None
    keep_last: int = 0
    most: int | None = None

    def __str__(self) -> str:
        """The rule in words: `logs of digits, older than 30d`."""
        of = [*self.project, *self.queue, *self.user, *self.state, *self.tags]
        of += {True: ["the archive"], False: ["no archive"], None: []}[self.archived]
        bounds = [
            f"older than {duration_text(self.older)}" if self.older is not None else "",
            f"beyond the last {self.keep_last}" if self.keep_last else "",
            f"beyond {size_text(self.most)}" if self.most is not None else "",
        ]
        which = f"{', '.join(self.what)}{' of ' * bool(of)}{', '.join(of)}"
        return ", ".join(filter(None, (which, *bounds)))


class CacheRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Agents remove from their caches what none of their tasks has used for `older` seconds: all,
    or what is of these `kinds` (`environments`, `images`, …), all agents, or those whose names are
    like one of `agents`, with `*` for anything."""

    older: float
    kinds: tuple[str, ...] = ()
    agents: tuple[str, ...] = ("*",)

    def __str__(self) -> str:
        """The rule in words."""
        what = ", ".join(self.kinds) or "caches"
        return f"{what} of {', '.join(self.agents)}, unused for {duration_text(self.older)}"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The rules of a cleaning, of which the first that says so counts, and those about agents'
    caches. Durations are in seconds."""

    rules: tuple[Rule, ...] = msgspec.field(name="rule", default=())
    min_age: float = DAY
    keep_tags: tuple[str, ...] = ()
    caches: tuple[CacheRule, ...] = ()


def read_policy(text: str, where: str) -> Policy:
    """The policy in a TOML file; `where` names it. Raises `UsageError`."""
    try:
        return check_policy(msgspec.convert(_plain(parse_toml(text, where)), Policy))
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{where} does not say what is to go",
            why=str(error),
            fix="docs/cleaning.md has an example, and tells what each word means",
        ) from error


def _plain(table: dict[str, Any]) -> dict[str, Any]:
    """The table, with durations and sizes as numbers, and one word as a list of one."""
    found = dict(table)
    if "min_age" in found:
        found["min_age"] = seconds(str(found["min_age"]))
    if isinstance(found.get("rule"), list):
        found["rule"] = [_plain_rule(one) for one in found["rule"]]
    if isinstance(found.get("caches"), list):
        found["caches"] = [_plain_rule(one) for one in found["caches"]]
    return found


_WORDS = ("what", "project", "queue", "user", "state", "tags", "kinds", "agents")


def _plain_rule(rule: Any) -> Any:
    if not isinstance(rule, dict):
        return rule
    found = {
        name: [value] if name in _WORDS and isinstance(value, str) else value
        for name, value in rule.items()
    }
    if "older" in found:
        found["older"] = seconds(str(found["older"]))
    if "most" in found:
        found["most"] = size(str(found["most"]))
    return found


def check_policy(policy: Policy) -> Policy:
    """The policy, if it makes sense. Raises `UsageError`."""
    if not policy.rules and not policy.caches:
        raise UsageError("nothing is to go", why="there is no [[rule]]", fix="docs/cleaning.md")
    for caches in policy.caches:
        if caches.older < LEAST_UNUSED:
            raise UsageError(
                f"caches: {duration_text(caches.older)} is too short",
                why="what is used every day would be made anew every day",
                fix='older = "14d"; an hour is the least',
            )
    for number, rule in enumerate(policy.rules, 1):
        if not rule.what:
            raise UsageError(f"rule {number} is about nothing", fix='what = ["logs"]')
        if rule.older is None and rule.most is None and not rule.keep_last:
            raise UsageError(
                f"rule {number} has no bound",
                why="everything that it is about would go",
                fix='older = "30d", keep_last = 10 or most = "50GiB"; older = "0s" means all',
            )
        if strange := [state for state in rule.state if state not in STATES]:
            raise UsageError(
                f"rule {number}: no task ends as {strange[0]!r}",
                why=f"it ends as {', '.join(STATES)}",
            )
        if rule.keep_last < 0 or (rule.most or 0) < 0:
            raise UsageError(f"rule {number} has a number below zero")
    return policy
