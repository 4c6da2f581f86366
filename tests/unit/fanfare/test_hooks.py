"""From an Airflow connection to a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.base import hooks
from audience_onboarding.errors import ConfigurationError
from audience_onboarding.fanfare.client import FanfareClient
from audience_onboarding.fanfare.hooks import FanfareHook
from audience_onboarding.fanfare.settings import PRODUCTION
from audience_onboarding.http import forget_clients
from tests.unit.fanfare.conftest import KEY, ORGANIZATION, Vendor, audience_json, page
from tests.unit.http.loopback import Reply


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_clients()
    yield
    forget_clients()


def connection(**parts: Any) -> Connection:
    extra = parts.pop("extra", None)
    return Connection(
        conn_id="ff",
        **{
            "conn_type": "fanfare",
            "password": KEY,
            "extra": None if extra is None else json.dumps(extra),
            **parts,
        },
    )


def test_an_empty_host_is_the_vendors() -> None:
    client = FanfareHook.client_of(connection())

    assert isinstance(client, FanfareClient)
    assert (client.settings.base_url, client.settings.key) == (PRODUCTION, KEY)


def test_host_port_and_options_come_from_the_connection() -> None:
    settings = FanfareHook.client_of(
        connection(host="localhost", schema="http", port=4800, extra={"organization": "org_1"})
    ).settings

    assert (settings.base_url, settings.organization) == ("http://localhost:4800", "org_1")


@pytest.mark.parametrize(
    ("parts", "said"),
    [({"password": None}, "no key"), ({"password": "pk_live_1"}, "publishable"), ({"extra": {"x": 1}}, "x")],
)
def test_a_connection_that_cannot_be_used_says_why(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        FanfareHook.client_of(connection(**parts))


def test_the_key_is_masked_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hooks, "mask_secret", masked.append)

    FanfareHook.client_of(connection())

    assert masked == [KEY]


def test_a_key_that_was_rotated_makes_another_client() -> None:
    assert FanfareHook.client_of(connection()) is FanfareHook.client_of(connection())
    assert FanfareHook.client_of(connection()) is not FanfareHook.client_of(connection(password="sk_test_2"))


@pytest.mark.parametrize(
    ("audiences", "extra", "good", "said"),
    [
        ([audience_json()], {}, True, f"it belongs to organization {ORGANIZATION}"),
        ([], {}, True, "its organization has no audiences yet"),
        ([audience_json(organizationId=None)], {}, True, "The key is accepted"),
        ([audience_json()], {"organization": ORGANIZATION}, True, "it belongs to organization"),
        ([audience_json()], {"organization": "org_1"}, False, "the connection says org_1"),
    ],
)
def test_the_test_of_a_connection_says_whose_key_it_is(
    vendor: Vendor,
    monkeypatch: pytest.MonkeyPatch,
    audiences: list[dict[str, Any]],
    extra: dict[str, Any],
    good: bool,
    said: str,
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_FF",
        json.dumps({"conn_type": "fanfare", "host": vendor.server.url, "password": KEY, "extra": extra}),
    )
    vendor.answers["GET /audiences"] = Reply(200, page(*audiences, end="a"))

    found, message = FanfareHook("ff").test_connection()

    assert found is good
    assert said in message
    # One page, and nothing that changes anything.
    assert len(vendor.calls) == 1


def test_the_test_of_a_connection_says_what_is_wrong(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_FF",
        json.dumps({"conn_type": "fanfare", "host": vendor.server.url, "password": "sk_test_old"}),
    )

    good, message = FanfareHook("ff").test_connection()

    assert not good
    assert "Rotating a secret key" in message
    assert "sk_test_old" not in message
