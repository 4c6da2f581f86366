"""From an Airflow connection to a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.digital_audience import client as client_module
from audience_onboarding.digital_audience import hooks
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook, client_of
from audience_onboarding.errors import ConfigurationError
from tests.unit.digital_audience.conftest import PASSWORD, Vendor, envelope
from tests.unit.http.loopback import Reply


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    client_module._clients.clear()
    yield
    client_module._clients.clear()


def connection(**parts: Any) -> Connection:
    extra = parts.pop("extra", None)
    return Connection(
        conn_id="da",
        **{
            "conn_type": "digital_audience",
            "host": "https://vendor.example",
            "login": "crm",
            "password": "hunter22",
            "extra": None if extra is None else json.dumps(extra),
            **parts,
        },
    )


@pytest.mark.parametrize(
    ("parts", "base_url"),
    [
        ({}, "https://vendor.example"),
        ({"host": "vendor.example"}, "https://vendor.example"),
        ({"host": "vendor.example", "schema": "http"}, "http://vendor.example"),
        ({"host": "https://vendor.example", "schema": "http"}, "https://vendor.example"),
        ({"host": "vendor.example", "port": 8443}, "https://vendor.example:8443"),
        ({"host": "https://vendor.example/", "port": 8443}, "https://vendor.example:8443"),
        ({"host": "https://vendor.example/sub", "port": 8443}, "https://vendor.example:8443/sub"),
        ({"host": "https://vendor.example:8443", "port": 8443}, "https://vendor.example:8443"),
    ],
)
def test_the_address_of_a_connection(parts: dict[str, Any], base_url: str) -> None:
    assert client_of(connection(**parts)).settings.base_url == base_url


def test_a_connection_may_come_as_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_DA", "digital-audience://crm%40example.com:p%2Fw@127.0.0.1:9300/http?api_prefix=%2Fapi"
    )

    settings = DigitalAudienceHook("da").client.settings

    assert settings.base_url == "http://127.0.0.1:9300"
    assert (settings.user_name, settings.password, settings.api_prefix) == ("crm@example.com", "p/w", "/api")


def test_options_come_from_the_extra_fields() -> None:
    settings = client_of(connection(extra={"api_prefix": "/api", "read_timeout": 5})).settings

    assert (settings.api_prefix, settings.read_timeout) == ("/api", 5.0)


@pytest.mark.parametrize(
    ("parts", "named"),
    [({"host": None}, "host"), ({"login": None}, "Login"), ({"password": None}, "password")],
)
def test_a_connection_that_lacks_something_says_what(parts: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        client_of(connection(**parts))


def test_hooks_of_an_account_share_their_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", connection().get_uri())

    hook = DigitalAudienceHook("one")

    assert hook.client is hook.get_conn() is DigitalAudienceHook("two").client


def test_secrets_of_the_vendor_are_masked(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hooks, "mask_secret", masked.append)

    client_of(connection(host=vendor.server.url, login="crm@example.com", password=PASSWORD)).login()

    assert masked == ["session-0001-secret"]


def test_the_test_of_a_connection_logs_in_and_changes_nothing(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "conn_type": "digital_audience",
        "host": vendor.server.url,
        "login": "crm@example.com",
        "password": PASSWORD,
    }
    monkeypatch.setenv("AIRFLOW_CONN_DA", json.dumps(given))
    vendor.answers["/organisation/loadplatformaccounts"] = Reply(200, envelope([{"id": 1}]))

    assert DigitalAudienceHook("da").test_connection() == (
        True,
        "Logged in as crm@example.com; the organisation has 1 platform accounts",
    )
    assert [seen.method for seen in vendor.calls] == ["GET"]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": "wrong"}, "AuthenticationError|refused"),
        ({"host": ""}, "no host"),
        ({"host": "https://[::1"}, "not an http or https URL"),
        ({"extra": {"typo": 1}}, "unknown options: typo"),
    ],
)
def test_the_test_of_a_connection_says_what_is_wrong(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any], said: str
) -> None:
    given = {
        "conn_type": "digital_audience",
        "host": vendor.server.url,
        "login": "crm@example.com",
        "password": PASSWORD,
        **parts,
    }
    monkeypatch.setenv("AIRFLOW_CONN_DA", json.dumps(given))

    good, message = DigitalAudienceHook("da").test_connection()

    assert not good
    assert any(part in message for part in said.split("|"))
