"""Signatures of webhooks: whoever has a library for Standard Webhooks can tell them from others."""

from __future__ import annotations

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from evq.core.errors import UsageError
from evq.services.trigger.signing import read_key, signature

KEY = bytes(range(32))
SECRET = base64.b64encode(KEY).decode()
BODY = '{"words":"task k3f9 (träin.py): failed"}'.encode()


def test_a_signature_is_what_other_libraries_expect() -> None:
    headers = signature(KEY, "trigger-broken-42", int(time.time()), BODY)
    assert Webhook(f"whsec_{SECRET}").verify(BODY, headers)["words"].endswith("failed")
    # The example of the specification's own tests.
    key = read_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "trigger-broken-43"},
        {"webhook-timestamp": str(int(time.time()) - 60)},
        {"webhook-timestamp": str(int(time.time()) - 3600)},
        {"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()},
    ],
)
def test_what_was_changed_on_the_way_is_refused(changed: dict[str, str]) -> None:
    headers = signature(KEY, "trigger-broken-42", int(time.time()), BODY) | changed
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, headers)


def test_another_body_or_another_key_is_refused() -> None:
    headers = signature(KEY, "trigger-broken-42", int(time.time()), BODY)
    for secret, body in ((SECRET, b"{}"), (base64.b64encode(b"other").decode(), BODY)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


@pytest.mark.parametrize("written", [SECRET, f"whsec_{SECRET}", f"{SECRET}\n"])
def test_a_key_is_base64_with_or_without_a_prefix(written: str) -> None:
    assert read_key(written) == KEY


@pytest.mark.parametrize("written", ["", "whsec_", "correct horse battery", "whsec_ß"])
def test_what_is_no_key_is_refused_and_not_shown(written: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_key(written)
    words = f"{caught.value.what} {caught.value.why} {caught.value.fix}"
    assert "no key" in words and (len(written) < 8 or written not in words)
