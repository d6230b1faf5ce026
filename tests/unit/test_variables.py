"""What set-up and tasks see of the agent's environment."""

from __future__ import annotations

import pytest

from evq.agent.attempts import variables
from evq.agent.attempts.variables import passwords, setup_variables, task_variables

AGENT = {
    "PATH": "/bin",
    "HOME": "/home/a",
    "LC_ALL": "C.UTF-8",
    "CUDA_VISIBLE_DEVICES": "0",
    "https_proxy": "http://u:proxy-password@proxy:3128",
    "HF_HOME": "/big/hf",
    "HF_TOKEN": "hf_0123456789",
    "AWS_SECRET_ACCESS_KEY": "aws-0123456789",
    "DB_PASSWORD": "db-0123456789",
    "PIP_INDEX_URL": "https://me:index%2Fpassword@host/simple",
    "UV_INDEX": "https://plain/simple",
    "UV_INDEX_CORP_USERNAME": "somebody",
    "UV_INDEX_CORP_PASSWORD": "corp-password",
    "GIT_SSH_COMMAND": "ssh -i key",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "EVQ_LOGIN": '{"token":"nats-token"}',
    "EVQ_SECRET_X": "x-0123456789",
    "NATS_URL": "nats://a:b@host",
    "NOTIFY_SOCKET": "@x",
}
MACHINE = {"PATH", "HOME", "LC_ALL", "CUDA_VISIBLE_DEVICES", "https_proxy", "HF_HOME"}


@pytest.fixture(autouse=True)
def agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variables.os, "environ", AGENT)
    variables._setup.cache_clear()
    variables._task.cache_clear()


def test_a_task_sees_the_machine_and_addresses_without_logins() -> None:
    assert task_variables().keys() == MACHINE | {"UV_INDEX"}


def test_set_up_sees_the_ways_to_packages_and_code_too() -> None:
    ways = {"PIP_INDEX_URL", "UV_INDEX", "UV_INDEX_CORP_USERNAME", "UV_INDEX_CORP_PASSWORD"}
    assert setup_variables().keys() == MACHINE | ways | {"GIT_SSH_COMMAND", "SSH_AUTH_SOCK"}


def test_the_admin_adds_variables_but_never_the_agents_own_login() -> None:
    assert task_variables(["HF_*"])["HF_TOKEN"] == AGENT["HF_TOKEN"]
    assert task_variables(["DB_PASSWORD"]).keys() - task_variables().keys() == {"DB_PASSWORD"}
    for seen in (task_variables(["*_*"]), setup_variables(["EVQ_*", "NATS_URL"])):
        assert not [name for name in seen if name.startswith(("EVQ_", "NATS_", "NOTIFY_"))]


def test_the_passwords_that_set_up_knows_are_known_to_the_redactor() -> None:
    assert set(filter(None, passwords(setup_variables()).values())) == {
        "proxy-password",
        "index/password",
        "corp-password",
    }


def test_what_is_given_can_be_changed_without_harm() -> None:
    task_variables()["PATH"] = "changed"
    assert task_variables()["PATH"] == "/bin"
