"""The file of authorities that set-up and tasks trust."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from evq.agent.trust import VARIABLES, trust_variables, trusted_file
from evq.core.errors import SettingsError

SYSTEM = ssl.get_default_verify_paths().cafile


def one_certificate() -> str:
    """A certificate in PEM form: the first that this machine trusts."""
    if not SYSTEM or not os.path.isfile(SYSTEM):
        pytest.skip("this machine has no file of authorities")
    end = "-----END CERTIFICATE-----"
    return Path(SYSTEM).read_text().partition(end)[0] + end + "\n"


def test_authorities_are_added_to_those_of_the_machine(tmp_path: Path) -> None:
    extra = tmp_path / "extra.pem"
    extra.write_text(one_certificate())
    file = trusted_file(extra, tmp_path)
    assert file is not None
    text = file.read_text()
    assert SYSTEM and Path(SYSTEM).read_text() in text and text.endswith(one_certificate())
    ssl.create_default_context(cafile=str(file))
    assert trust_variables(file) == dict.fromkeys(VARIABLES, str(file))


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: str | None) -> None:
    extra = tmp_path / "extra.pem"
    if content is not None:
        extra.write_text(content)
    with pytest.raises(SettingsError) as caught:
        trusted_file(extra, tmp_path)
    assert str(extra) in caught.value.why


def test_without_any_the_agent_s_own_file_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.pem"
    own.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert trusted_file(None, tmp_path) == own
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere"))
    assert trusted_file(None, tmp_path) is None
    assert trust_variables(None) == {}
