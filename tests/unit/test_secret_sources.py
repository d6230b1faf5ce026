"""Where secrets are found: one set of cases for every source, and the rules of each."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evq.agent import secret_sources
from evq.agent.secret_sources import (
    FileSource,
    KeyringSource,
    SecretSources,
    Source,
    VariableSource,
)
from evq.core.errors import SecretFailed, SettingsError
from evq.core.spec import Command, Spec

KNOWN = {"HF_TOKEN": "hf_0123456789", "KEY": "-----BEGIN KEY-----\nabcdefgh\n'\"\\\n"}


ONE = 'HF_TOKEN = "hf_0123456789"'


def secrets_file(folder: Path, text: str = ONE, mode: int = 0o600) -> Path:
    path = folder / "secrets.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def spec(*secrets: str, queue: str = "train") -> Spec:
    return Spec(entry=Command(("true",)), name="test", queue=queue, secrets=secrets)


@pytest.fixture
def file_keyring(tmp_path: Path) -> Iterator[None]:
    """A real keyring that keeps its passwords in a file of the test's own."""
    import keyring
    from keyrings.alt.file import PlaintextKeyring

    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    yield
    keyring.set_keyring(before)


def variable_source(folder: Path) -> Source:
    return VariableSource({f"EVQ_SECRET_{name}": value for name, value in KNOWN.items()})


def listed_source(folder: Path) -> Source:
    return VariableSource(KNOWN, ["HF_*", "KEY"])


def file_source(folder: Path) -> Source:
    text = f"HF_TOKEN = '{KNOWN['HF_TOKEN']}'\nKEY = '''{KNOWN['KEY']}'''\n"
    return FileSource(secrets_file(folder, text.replace("'''-", "'''\n-")))


def keyring_source(folder: Path) -> Source:
    import keyring

    for name, value in KNOWN.items():
        keyring.set_password("evq", name, value)
    return KeyringSource()


@pytest.mark.parametrize("make", [variable_source, listed_source, file_source, keyring_source])
def test_every_source_gives_what_it_has_and_nothing_else(
    make: Callable[[Path], Source], tmp_path: Path, file_keyring: None
) -> None:
    source = make(tmp_path)
    for name, value in KNOWN.items():
        assert source.find(name) == value
    assert source.find("OTHER") is None and source.find("PATH") is None
    assert source.place


def test_only_listed_variables_are_given_and_never_the_agents_own() -> None:
    environ = {"HF_TOKEN": "a" * 9, "WANDB_API_KEY": "b" * 9, "EVQ_LOGIN": "c" * 9}
    source = VariableSource(environ, ["WANDB_*", "EVQ_*"])
    assert source.find("WANDB_API_KEY") and not source.find("HF_TOKEN")
    assert source.find("EVQ_LOGIN") is None


@pytest.mark.parametrize(
    ("text", "mode", "word"),
    [
        ('A = "b"', 0o640, "open to other users"),
        ('A = "b"', 0o604, "open to other users"),
        ("A = b-canary", 0o600, "line 1"),
        ("A = 3", 0o600, "not a text"),
        ('A = "x"\nqueues = "all"', 0o600, "which queues"),
        ('A = "x"\n[queues]\nA = "train"', 0o600, "which queues"),
    ],
)
def test_a_file_that_must_not_be_used(tmp_path: Path, text: str, mode: int, word: str) -> None:
    source = FileSource(secrets_file(tmp_path, text, mode))
    with pytest.raises(SecretFailed) as caught:
        source.queues("A")
        source.find("A")
    assert word in f"{caught.value}" and caught.value.fix
    assert "canary" not in f"{caught.value} {caught.value.fix}"


def test_a_file_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = secrets_file(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(SecretFailed, match="belongs to somebody else"):
        FileSource(path).find("HF_TOKEN")


def test_an_agent_does_not_begin_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        SecretSources({}, (), tmp_path / "none.toml").check()
    SecretSources({}, (), secrets_file(tmp_path)).check()


async def test_the_first_source_wins_and_the_place_is_told(tmp_path: Path) -> None:
    environ = {"EVQ_SECRET_HF_TOKEN": "from the variable"}
    path = secrets_file(tmp_path, 'HF_TOKEN = "from the file"\nOTHER = "from the file"\n')
    found = await SecretSources(environ, (), path).resolve(spec("HF_TOKEN", "MINE=OTHER"))
    assert found.variables == {"HF_TOKEN": "from the variable", "MINE": "from the file"}
    assert found.values == {"HF_TOKEN": "from the variable", "OTHER": "from the file"}
    assert found.places["OTHER"] == str(path)


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    sources = SecretSources({}, (), secrets_file(tmp_path))
    secrets_file(tmp_path, 'HF_TOKEN = "a new one"')
    assert (await sources.resolve(spec("HF_TOKEN"))).variables == {"HF_TOKEN": "a new one"}


async def test_a_missing_secret_names_the_places_that_were_looked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    path = secrets_file(tmp_path)
    with pytest.raises(SecretFailed) as caught:
        await SecretSources({}, ("WANDB_*",), path).resolve(spec("MISSING"))
    assert caught.value.why == (
        f"looked in: variables EVQ_SECRET_*, variables like WANDB_*; {path}; "
        "no keyring: the package is not installed"
    )


async def test_a_keyring_that_fails_is_a_place_without_secrets() -> None:
    import keyring
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        with pytest.raises(SecretFailed, match="keyring, which failed: NoKeyringError"):
            await SecretSources({}, (), None).resolve(spec("MISSING"))
    finally:
        keyring.set_keyring(before)


async def test_a_keyring_that_waits_for_its_owner_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keyring

    before, unlocked = {*threading.enumerate()}, threading.Event()
    monkeypatch.setattr(keyring, "get_password", lambda *_: unlocked.wait() and None)
    monkeypatch.setattr(secret_sources, "KEYRING_SECONDS", 0.05)
    with pytest.raises(SecretFailed, match="the keyring has not answered"):
        await SecretSources({}, (), None).resolve(spec("MISSING"))
    (waiting,) = [one for one in {*threading.enumerate()} - before if one.name == "secrets"]
    assert waiting.daemon
    unlocked.set()
    waiting.join(30)


async def test_a_secret_may_be_for_some_queues_only(tmp_path: Path) -> None:
    path = secrets_file(tmp_path, '[queues]\nHF_TOKEN = ["train", "eval-*"]\n')
    sources = SecretSources({"EVQ_SECRET_HF_TOKEN": "a" * 9}, (), path)
    for queue in ("train", "eval-small"):
        assert (await sources.resolve(spec("HF_TOKEN", queue=queue))).variables
    with pytest.raises(SecretFailed, match="not for the queue other"):
        await sources.resolve(spec("HF_TOKEN", queue="other"))


@pytest.mark.parametrize("value", ["short", "     x     ", "long enough\0"])
async def test_a_secret_that_could_not_be_kept_out_of_the_log(value: str) -> None:
    with pytest.raises(SecretFailed, match="cannot be kept out of the log") as caught:
        await SecretSources({"EVQ_SECRET_A": value}, (), None).resolve(spec("A"))
    assert value not in str(caught.value)
