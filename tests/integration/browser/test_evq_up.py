"""`evq up` brings the dashboard, and `evq ui` knows who may look at it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

Evq = Callable[..., str]


@pytest.fixture
def evq(tmp_path: Path) -> Iterator[Evq]:
    """`evq("up", "-d")`: what it prints. What is up is brought down in the end."""
    environment = {**os.environ, "EVQ_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)}

    def run(*arguments: str, status: int = 0) -> str:
        argv = [sys.executable, "-P", "-m", "evq.cli.main", *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    yield run
    run("down")


async def test_the_dashboard_comes_with_a_link(evq: Evq, until: Any) -> None:
    assert "no dashboard answers" in evq("ui", "--link", status=4)
    brought = evq("up", "-d", "--no-agent", "--listen", "127.0.0.1:0")
    (link,) = (word for word in brought.split() if "/?token=" in word)

    def opens() -> bool:
        try:
            return httpx.get(link).status_code == 303
        except httpx.TransportError:  # not there yet, or still loading
            return False

    await until(opens)
    assert evq("ui", "--link").strip() == link
    assert link.partition("/?")[0] in evq("status")


def test_users_have_tokens_of_their_own(evq: Evq) -> None:
    token, said = evq("ui", "user", "add", "ada", "--role", "operator").splitlines()
    assert len(token) > 40 and "as operator" in said
    assert "a user ada already" in evq("ui", "user", "add", "ada", status=5)
    assert evq("ui", "user", "list").split() == ["ada", "operator"]
    assert "worth nothing" in evq("ui", "user", "remove", "ada")
    assert "no user ada" in evq("ui", "user", "remove", "ada", status=4)
    assert evq("ui", "user", "list", "--json").strip() == "[]"
