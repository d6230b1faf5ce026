"""Webhooks that are signed: a controller for each such trigger, and a receiver that verifies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from receiver import receiving
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from waiting import PATIENCE

from evq.core.errors import UsageError
from evq.core.events import Started
from evq.core.fleet.services import QUEUE
from evq.core.sdk.services import begun, service
from evq.core.state import Ended
from evq.services.trigger import controller as triggers
from evq.services.trigger.conditions import Events, Filter
from evq.services.trigger.facts import Defined, Do, Webhook

SECRET = "whsec_" + "c2VjcmV0IG9mIGEgaG9vaywgMjQgYnl0ZXMhIQ=="


class Receiver:
    """A web server that keeps what is sent with a right signature, and counts the rest. What comes
    first is verified and refused, as if it were not ready."""

    url: str

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.verified: list[tuple[str, dict[str, Any]]] = []
        self.unsigned = 0

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        try:
            content = Verifier(SECRET).verify(body, dict(headers))
        except WebhookVerificationError:
            self.unsigned += 1
            return 204
        self.tried.append(headers["webhook-id"])
        if len(self.tried) == 1:
            return 503
        self.verified.append((headers["webhook-id"], content))
        return 204


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    with receiving(receiver.take) as address:
        receiver.url = f"http://{address}/hook"
        yield receiver


@pytest.fixture
def served(
    apart: Any,
    start_agent: Callable[..., Any],
    own_nats_server: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A queue for tasks on a server of its own; an agent with secrets serves it and services."""
    monkeypatch.setenv("EVQ_SECRET_HOOK", SECRET)
    monkeypatch.setenv("EVQ_SECRET_PLAIN", "correct horse battery")
    queues = [type(apart)(apart.client, QUEUE), apart]
    options = ("--services", "--slots=6", "--allow-client", "--lease=300", "--drain-timeout=0.1")
    start_agent(queues, *options, login=own_nats_server.login).ready()
    return apart


async def define(served: Any, name: str, do: Do) -> tuple[Any, str]:
    """A trigger on failed tasks, as `evq trigger add --replace` makes it: its journal, and the task
    of its controller."""
    journal = triggers.open_journal(served.client, name)
    await journal.load()
    on = Events(("failed",), Filter(queue=served.name))
    await journal.decide(lambda _: (Defined(on=on, do=do), "is defined"))
    return journal, (await triggers.start(served.client, name, do)).task.id


async def done(journal: Any, until: Any) -> None:
    """Return when a match was acted on."""

    async def acted() -> bool:
        await journal.catch_up()
        return bool(journal.state.done + journal.state.gave_up)

    await until(acted)


async def test_each_post_is_signed_and_a_repeated_one_has_its_id(
    served: Any, receiver: Receiver, until: Any
) -> None:
    journal, controller = await define(served, "hook", Webhook(receiver.url, "HOOK"))
    failed = await served.run("sh", "-c", "echo gone wrong >&2; exit 3")
    await done(journal, until)
    assert journal.state.done == 1 and receiver.unsigned == 0
    # The first one was answered with 503.
    assert len(receiver.tried) >= 2 and len(set(receiver.tried)) == 1
    [(id, content)] = receiver.verified
    assert id == content["id"] and id.startswith("trigger-hook-")
    assert content["task"] == failed.id and "gone wrong" in content["evidence"]
    # The secret is in no event, and in nothing that a task has said.
    services = type(served)(served.client, QUEUE)
    told = [await services.envelopes(controller), await services.records(controller)]
    assert SECRET not in repr(told) and SECRET.removeprefix("whsec_") not in repr(told)
    assert SECRET not in repr(await triggers.open_journal(served.client, "hook").catch_up())


async def test_a_trigger_goes_from_one_controller_to_another_and_back(
    served: Any, receiver: Receiver, until: Any
) -> None:
    journal, common = await define(served, "hook", Webhook(receiver.url))
    other, same = await define(served, "other", Webhook(receiver.url))
    assert same == common
    await served.run("false")
    await done(journal, until)
    await done(other, until)
    assert receiver.unsigned == 2 and receiver.verified == []
    journal, own = await define(served, "hook", Webhook(receiver.url, "HOOK"))
    await served.run("false")
    await done(journal, until)
    await until(lambda: receiver.unsigned == 3 and len(receiver.verified) == 1)
    journal, again = await define(served, "hook", Webhook(receiver.url))
    assert again == common != own
    await served.run("false")
    await done(journal, until)
    await until(lambda: receiver.unsigned == 5 and len(receiver.verified) == 1)
    ended = await type(served)(served.client, QUEUE).ended(own)
    assert isinstance(ended.state, Ended) and ended.state.exit_code == 0
    assert (await service(served.client, "trigger", triggers.CONTROLLER)).runs


async def test_what_happens_while_its_controller_is_away_is_told_after_a_retry(
    served: Any, receiver: Receiver, until: Any
) -> None:
    journal, controller = await define(served, "hook", Webhook(receiver.url, "HOOK"))
    services = type(served)(served.client, QUEUE)
    await services.event(controller, Started)
    await served.client.abort(controller, "the secret has another value")
    await services.ended(controller)
    await served.run("false")
    await served.client.retry(controller)
    await done(journal, until)
    assert journal.state.done == 1 and len(receiver.verified) == 1


async def test_who_starts_a_controller_hears_that_its_agent_lacks_the_secret(
    served: Any, receiver: Receiver
) -> None:
    await define(served, "hook", Webhook(receiver.url, "OTHER"))
    started = await service(served.client, "trigger", "hook")
    state = (await begun(served.client, started, PATIENCE)).task.state
    assert isinstance(state, Ended) and state.evidence.startswith("[E33] this agent has no secret")


async def test_a_secret_that_is_no_key_is_told_and_not_shown(
    served: Any, receiver: Receiver, until: Any
) -> None:
    _, controller = await define(served, "hook", Webhook(receiver.url, "PLAIN"))
    services = type(served)(served.client, QUEUE)
    assert await services.line(controller, f"error[{UsageError.code}]: the secret holds no key")
    assert "correct horse" not in repr(await services.records(controller))
    await served.client.abort(controller)
