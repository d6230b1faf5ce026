"""Which rule takes what of which task: a function of the policy, of what there is and the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

import msgspec

from ...core.cleaning.cleaned import What
from .policy import Policy, Rule

Content = tuple[str, str]
"""Where content lies (a depot, or `code`, with which notebooks lie), and its name there."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A task that has ended and what is left of it; `ended` in microseconds since 1970.

    `logs` and `metrics` are bytes, the others have the size of each content.
    """

    task: str
    ended: int
    project: str = ""
    queue: str = "default"
    user: str = ""
    state: str = "completed"
    tags: tuple[str, ...] = ()
    archived: bool = False
    gang: str = ""
    logs: int = 0
    metrics: int = 0
    artifacts: dict[Content, int] = {}
    code: dict[Content, int] = {}
    notebooks: dict[Content, int] = {}

    def contents(self, what: What) -> dict[Content, int]:
        """The contents of a kind: those that others may name, too."""
        match what:
            case "artifacts":
                return self.artifacts
            case "code":
                return self.code
            case "notebooks":
                return self.notebooks
            case "logs" | "metrics":
                return {}

    def size(self, what: What) -> int:
        """The bytes of a kind; null if none is there."""
        match what:
            case "logs":
                return self.logs
            case "metrics":
                return self.metrics
            case "artifacts" | "code" | "notebooks":
                return sum(self.contents(what).values())

    def has(self, what: What) -> bool:
        """Whether anything of a kind is left."""
        return bool(self.contents(what)) or self.size(what) > 0


class Look(msgspec.Struct, frozen=True):
    """What there is. `named` tells how many tasks name a content, whatever their state;
    `held` what of a task must stay, and why; `kept` the contents that services name."""

    left: tuple[Left, ...] = ()
    named: Mapping[Content, int] = {}
    held: Mapping[tuple[str, What], str] = {}
    kept: Set[Content] = frozenset()
    live_gangs: Set[str] = frozenset()


class Choice(msgspec.Struct, frozen=True):
    """What goes of a task by the rule of this number, counted from 1; `size` are its bytes, also
    those that other tasks name, too."""

    task: str
    rule: int
    what: tuple[What, ...]
    size: int = 0


class Share(msgspec.Struct):
    """What one rule takes: of how many tasks, and how many bytes of each kind are free then."""

    rule: Rule
    tasks: int = 0
    bytes: dict[What, int] = {}
    examples: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """What goes, and what of it is spared for which reasons."""

    choices: tuple[Choice, ...]
    shares: tuple[Share, ...]
    spared: dict[str, int]

    @property
    def tasks(self) -> int:
        """How many tasks lose something."""
        return len({choice.task for choice in self.choices})

    @property
    def size(self) -> int:
        """The bytes that are free then, about."""
        return sum(sum(share.bytes.values()) for share in self.shares)


EXAMPLES = 3


def plan(policy: Policy, look: Look, now: int) -> Plan:
    """What goes at `now`, in microseconds since 1970."""
    newest_first = sorted(look.left, key=lambda one: (-one.ended, one.task))
    taken: dict[str, set[What]] = {}
    choices: list[Choice] = []
    spared: Counter[str] = Counter()
    for number, rule in enumerate(policy.rules, 1):
        matching = [one for one in newest_first if _matches(rule, one)]
        for one in _beyond(rule, matching, now):
            wanted = [what for what in rule.what if one.has(what)]
            wanted = [what for what in wanted if what not in taken.get(one.task, ())]
            if wanted and (why := _spared(policy, look, one, now)):
                spared[why] += 1
                continue
            held = {
                what: look.held[one.task, what] for what in wanted if (one.task, what) in look.held
            }
            spared.update(held.values())
            if what := tuple(what for what in wanted if what not in held):
                taken.setdefault(one.task, set()).update(what)
                choices.append(Choice(one.task, number, what, sum(map(one.size, what))))
    return Plan(tuple(choices), _shares(policy, look, choices), dict(spared))


def _matches(rule: Rule, one: Left) -> bool:
    return (
        (not rule.project or one.project in rule.project)
        and (not rule.queue or one.queue in rule.queue)
        and (not rule.user or one.user in rule.user)
        and (not rule.state or one.state in rule.state)
        and (not rule.tags or not set(rule.tags).isdisjoint(one.tags))
        and rule.archived in (None, one.archived)
    )


def _beyond(rule: Rule, matching: Sequence[Left], now: int) -> Iterator[Left]:
    """Of the tasks that a rule is about, the newest first, those that are beyond its bounds."""
    size = 0
    seen: set[Content] = set()
    for place, one in enumerate(matching):
        for what in rule.what:
            contents = one.contents(what)
            size += sum(contents[key] for key in contents.keys() - seen)
            size += 0 if contents else one.size(what)
            seen |= contents.keys()
        if (
            place >= rule.keep_last
            and (rule.older is None or one.ended < now - rule.older * 1e6)
            and (rule.most is None or size > rule.most)
        ):
            yield one


def _spared(policy: Policy, look: Look, one: Left, now: int) -> str:
    """Why nothing goes of a task; empty if something may."""
    if one.ended >= now - policy.min_age * 1e6:
        return "ended a short time ago"
    if tags := set(policy.keep_tags).intersection(one.tags):
        return f"has the tag {min(tags)}"
    if one.gang in look.live_gangs:
        return "is of a gang that has not ended"
    return ""


def _shares(policy: Policy, look: Look, choices: Sequence[Choice]) -> tuple[Share, ...]:
    """What each rule takes. Content is free when the last task that names it lets go."""
    by_task = {one.task: one for one in look.left}
    left = dict(look.named)
    shares = [Share(rule) for rule in policy.rules]
    for choice in choices:
        share, one = shares[choice.rule - 1], by_task[choice.task]
        share.tasks += 1
        if len(share.examples) < EXAMPLES:
            share.examples.append(choice.task)
        for what in choice.what:
            contents = one.contents(what)
            free = 0 if contents else one.size(what)
            for content, size in contents.items():
                left[content] = left.get(content, 1) - 1
                free += size if left[content] == 0 and content not in look.kept else 0
            share.bytes[what] = share.bytes.get(what, 0) + free
    return tuple(shares)
