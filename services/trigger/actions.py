"""What a trigger does: enqueue a task, call a webhook, send alerts."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request

import msgspec
from msgspec.structs import replace

from ...core.addresses import check_address
from ...core.errors import EvqError, UsageError
from ...core.sdk.author import now
from ...core.spec import Spec, argv_text
from .facts import Do, Enqueue, Matched, Tell, Webhook
from .signing import signature

TAG = "trigger:"
CALL_SECONDS = 10.0


class CallFailed(EvqError):
    """A webhook did not take what it was sent. It is tried again."""


def action_text(do: Do) -> str:
    """The action in short."""
    match do:
        case Enqueue(spec, array):
            return f"enqueue {argv_text(spec.entry)}" + (f" as array {array}" if array else "")
        case Webhook(url, secret):
            return f"call {url}" + (f", signed with the secret {secret}" if secret else "")
        case Tell(alerts):
            return f"alert {', '.join(alerts)}"


def check_webhook(url: str) -> str:
    """`url` if it can be called, else raise `UsageError`."""
    check_address(url, "--webhook")
    if not url.startswith(("http://", "https://")) or not url.isprintable() or " " in url:
        raise UsageError(
            f"{url!r} is not the address of a webhook",
            why="it begins with http:// or https://, and is one word",
            fix="--webhook https://host/path; one that is a secret: evq alert add",
        )
    return url


def task_for(name: str, spec: Spec, matched: Matched) -> Spec:
    """The task that is enqueued for a match; it finds in variables what matched."""
    about = {
        "EVQ_TRIGGER": name,
        "EVQ_TRIGGER_TASK": matched.task,
        "EVQ_TRIGGER_WORDS": matched.words,
    }
    return replace(
        spec,
        key=key_of(name, matched),
        tags=tuple(dict.fromkeys((*spec.tags, TAG + name))),
        variables={**spec.variables, **{k: v for k, v in about.items() if v}},
    )


def key_of(name: str, matched: Matched) -> str:
    """The name of a match in all the world: what is done for it is done under this name."""
    return f"trigger-{name}-{matched.id}"


async def call(url: str, name: str, matched: Matched, key: bytes) -> str:
    """Call a webhook, once, signed if there is a key; what it answered. Raises `CallFailed`."""
    id = key_of(name, matched)
    content = {"trigger": name, "id": id, "at": matched.at, "task": matched.task or None}
    body = msgspec.json.encode(content | {"words": matched.words, "evidence": matched.lines})
    headers = {"Content-Type": "application/json", "Idempotency-Key": id, "User-Agent": "evq"}
    if key:
        headers |= signature(key, id, now() // 1_000_000, body)
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    return await asyncio.to_thread(_send, request)


def _send(request: urllib.request.Request) -> str:
    try:
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
            return f"answered {answer.status}"
    except urllib.error.HTTPError as error:
        raise CallFailed(f"the webhook answered {error.code}") from error
    except OSError as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise CallFailed(f"the webhook cannot be called: {why}") from error
