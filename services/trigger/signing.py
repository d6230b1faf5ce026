"""Signatures of webhooks, as https://www.standardwebhooks.com has them."""

from __future__ import annotations

import base64
import binascii
import hmac

from ...core.errors import UsageError

PREFIX = "whsec_"


def read_key(secret: str) -> bytes:
    """The key that a secret holds. Raises `UsageError`, which shows nothing of it."""
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise UsageError(
            "the secret holds no key that a webhook can be signed with",
            why=f"it is not base64, with or without {PREFIX} before it",
            fix=f'echo "{PREFIX}$(openssl rand -base64 32)" makes one',
        )
    return key


def signature(key: bytes, id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers that prove to who has the key, too, that `body` was sent under this `id` at that
    moment, in seconds since 1970."""
    digest = hmac.digest(key, f"{id}.{seconds}.".encode() + body, "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
