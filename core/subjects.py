"""The subject grammar: how facts are addressed, and which streams hold them.

evq.q.<queue>.<priority>.<class>.<task>   a queue message: `enqueued`, or `again`; in the express
                                          lane of the class, `<class>-x`
evq.t.<queue>.<task>                      lifecycle of one task, its compare-and-swap anchor
evq.x.agent.<agent>                       agents that come and go
evq.x.queue.<queue>                       what is done to a queue
evq.x.permits.<queue>                     its limits, and which attempts are live under them
evq.x.array.<array>                       whose turn it is in an array
evq.x.query.<name>                        a query that somebody saved
evq.x.service.<service>.<name>            what a service decides
evqtel.<queue>.<task>.<agent>             what a task says
evqsam.<agent>                            what an agent sees of its machine
evqcmd.<agent>                            "look at the log now", lost without harm
evqsvc.<endpoint>                         questions for a projector
evqtun.<agent>                            wishes for a tunnel to a task of an agent
evqtun.<agent>.<tunnel>                   what a user sends through one; what comes back goes to
                                          an inbox of the user's
"""

from __future__ import annotations

import msgspec

from .fleet.resources import NOTHING, Request, parse_size, request_of
from .spec import Spec

LIFECYCLE_STREAM = "EVQ"
LIFECYCLE_SUBJECTS = "evq.>"
TELEMETRY_STREAM = "EVQTEL"
TELEMETRY_SUBJECTS = "evqtel.>"
SAMPLES_STREAM = "EVQSAM"
SAMPLES_SUBJECTS = "evqsam.>"
PRESENCE_BUCKET = "evq-agents"
LEVELS_BUCKET = "evq-queues"
CODE_BUCKET = "evq-code"
ARTIFACTS_BUCKET = "evq-artifacts"


HISTORY_EVENTS = "evq.x.history.trim"
"""The subject of what somebody wants to go from the database."""

EXPRESS = "-x"
"""The mark of an express lane, behind its class."""


class Level(msgspec.Struct, frozen=True, order=True):
    """What one durable consumer serves: a queue's tasks of one priority and resource class.

    In the ordinary lane they stand in the order of their messages. Those that were moved to
    another place than the end are in the *express* lane, and their messages say their rank.
    """

    queue: str
    priority: int
    size: str = NOTHING
    express: bool = False

    @property
    def lane(self) -> str:
        """The class as a token, with its mark if this is the express lane."""
        return self.size + EXPRESS * self.express

    @property
    def consumer(self) -> str:
        """The name of the durable consumer."""
        return f"q-{self.queue}-p{self.priority}-{self.lane}"

    @property
    def filter(self) -> str:
        """The subjects of the level's queue messages."""
        return f"evq.q.{self.queue}.{self.priority}.{self.lane}.*"

    @property
    def key(self) -> str:
        """The key that announces the level to agents."""
        return f"{self.queue}.{self.priority}.{self.lane}"

    @property
    def request(self) -> Request:
        """What each of its tasks asks for."""
        return parse_size(self.size)

    @classmethod
    def of(cls, spec: Spec) -> Level:
        """The level of a task as it is enqueued."""
        return cls(spec.queue, spec.priority, request_of(spec).size)

    @classmethod
    def from_key(cls, key: str) -> Level:
        """The level that `key` announces."""
        queue, priority, lane = key.split(".")
        return cls(queue, int(priority), lane.removesuffix(EXPRESS), lane.endswith(EXPRESS))


class Hint(msgspec.Struct, frozen=True):
    """The address of a queue message."""

    level: Level
    task: str


def hint(level: Level, task: str) -> str:
    """The subject of a task's queue messages."""
    return f"evq.q.{level.queue}.{level.priority}.{level.lane}.{task}"


def any_hint(task: str) -> str:
    """The pattern of a task's queue messages when its queue is not known."""
    return f"evq.q.*.*.*.{task}"


def lifecycle(queue: str, task: str) -> str:
    """The subject of a task's lifecycle events."""
    return f"evq.t.{queue}.{task}"


def agent_events(agent: str) -> str:
    """The subject of an agent's own events."""
    return f"evq.x.agent.{agent}"


def queue_events(queue: str) -> str:
    """The subject of what is done to a queue."""
    return f"evq.x.queue.{queue}"


def permits(queue: str) -> str:
    """The subject of a queue's limits and permits."""
    return f"evq.x.permits.{queue}"


def array_events(array: str) -> str:
    """The subject of whose turn it is in an array."""
    return f"evq.x.array.{array}"


def query_events(name: str) -> str:
    """The subject of what is done to a saved query."""
    return f"evq.x.query.{name}"


def service_events(service: str, name: str) -> str:
    """The subject of what the service of this kind and name decides."""
    return f"evq.x.service.{service}.{name}"


def telemetry(queue: str, task: str, agent: str) -> str:
    """The subject of what a task says by way of an agent."""
    return f"evqtel.{queue}.{task}.{agent}"


def samples(agent: str) -> str:
    """The subject of what an agent sees of its machine."""
    return f"evqsam.{agent}"


def commands(agent: str) -> str:
    """The subject on which an agent is told to look at the log now."""
    return f"evqcmd.{agent}"


def tunnels(agent: str) -> str:
    """The subject on which an agent is asked for tunnels; those below it are the tunnels' own."""
    return f"evqtun.{agent}"


def question(endpoint: str) -> str:
    """The subject of one of the projector's endpoints."""
    return f"evqsvc.{endpoint}"


def parse_hint(subject: str) -> Hint | None:
    """The parts of a queue message's subject, or None for another subject."""
    match subject.split("."):
        case ["evq", "q", queue, priority, lane, task] if priority.isdigit():
            return Hint(Level.from_key(f"{queue}.{priority}.{lane}"), task)
        case _:
            return None


def parse_lifecycle(subject: str) -> tuple[str, str] | None:
    """(queue, task) of a lifecycle subject, or None for another subject."""
    match subject.split("."):
        case ["evq", "t", queue, task]:
            return queue, task
        case _:
            return None


def parse_queue_events(subject: str) -> str | None:
    """The queue that a subject of queue events names, or None for another subject."""
    match subject.split("."):
        case ["evq", "x", "queue", queue]:
            return queue
        case _:
            return None


def parse_permits(subject: str) -> str | None:
    """The queue that a subject of permits names, or None for another subject."""
    match subject.split("."):
        case ["evq", "x", "permits", queue]:
            return queue
        case _:
            return None


def parse_array_events(subject: str) -> str | None:
    """The array that a subject of turns names, or None for another subject."""
    match subject.split("."):
        case ["evq", "x", "array", array]:
            return array
        case _:
            return None


def parse_query_events(subject: str) -> str | None:
    """The saved query that a subject names, or None for another subject."""
    match subject.split("."):
        case ["evq", "x", "query", name]:
            return name
        case _:
            return None


def parse_service_events(subject: str) -> tuple[str, str] | None:
    """(kind, name) of the service that a subject names, or None for another subject."""
    match subject.split("."):
        case ["evq", "x", "service", service, name]:
            return service, name
        case _:
            return None


def parse_telemetry(subject: str) -> tuple[str, str, str] | None:
    """(queue, task, agent) of a telemetry subject, or None for another subject."""
    match subject.split("."):
        case ["evqtel", queue, task, agent]:
            return queue, task, agent
        case _:
            return None


def parse_samples(subject: str) -> str | None:
    """The agent of a sample's subject, or None for another subject."""
    match subject.split("."):
        case ["evqsam", agent]:
            return agent
        case _:
            return None
