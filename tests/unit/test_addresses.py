"""Addresses: what is kept of them, what is shown, and which are refused."""

from __future__ import annotations

import pytest

from evq.core.addresses import check_address, filled, masked, names_in, without_login
from evq.core.errors import UsageError
from evq.core.spec import Command, Spec, check_spec


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/simple", "https://host/simple"),
        ("https://ada:pw@host/simple", "https://****@host/simple"),
        ("https://ada:p@w@host/simple", "https://****@host/simple"),
        ("https://ada:${TOKEN}@host/simple", "https://ada:${TOKEN}@host/simple"),
        ("https://${TOKEN}@host/simple", "https://${TOKEN}@host/simple"),
        ("https://ghp_0123456789abcdef0123@host/", "https://****@host/"),
        ("git+ssh://git@host/repo.git", "git+ssh://git@host/repo.git"),
        ("see https://a:b@h/x and https://c:d@h/y", "see https://****@h/x and https://****@h/y"),
    ],
)
def test_only_names_of_secrets_are_shown(address: str, shown: str) -> None:
    assert masked(address) == shown
    assert "@" not in without_login(address)
    if shown == address:
        check_address(address, "--index")
    else:
        with pytest.raises(UsageError, match="holds a password") as caught:
            check_address(address, "--index")
        assert "${NAME}@" in caught.value.fix and ":pw" not in str(caught.value)


def test_names_are_filled_in() -> None:
    address = "https://${USER}:${TOKEN}@host/${TOKEN}"
    assert names_in(address) == ("USER", "TOKEN")
    assert filled(address, {"USER": "u", "TOKEN": "t"}) == "https://u:t@host/t"
    with pytest.raises(KeyError, match="TOKEN"):
        filled(address, {"USER": "u"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"indexes": ("https://ada:pw@host/simple",)},
        {"indexes": ("host/simple",)},
        {"indexes": ("https://host/a https://host/b",)},
        {"indexes": ("https://host/a\n--evil",)},
        {"requirements": ("a @ git+https://ada:pw@host/a",)},
        {"torch_backend": "--evil"},
        {"torch_backend": ""},
    ],
)
def test_a_spec_holds_no_password_and_no_option(wrong: dict[str, object]) -> None:
    spec = Spec(entry=Command(("true",)), name="a", queue="q", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        check_spec(spec)
