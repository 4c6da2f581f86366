"""From an Airflow connection to a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.base import hooks
from audience_onboarding.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.errors import ConfigurationError
from audience_onboarding.http import forget_clients
from tests.unit.digital_audience.conftest import PASSWORD, Vendor, envelope
from tests.unit.http.loopback import Reply


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_clients()
    yield
    forget_clients()


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


def test_a_connection_may_come_as_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_DA", "digital-audience://crm%40example.com:p%2Fw@127.0.0.1:9300/http?api_prefix=%2Fapi"
    )

    settings = DigitalAudienceHook("da").client.settings

    assert settings.base_url == "http://127.0.0.1:9300"
    assert (settings.user_name, settings.password, settings.api_prefix) == ("crm@example.com", "p/w", "/api")


def test_options_come_from_the_extra_fields() -> None:
    settings = DigitalAudienceHook.client_of(
        connection(extra={"api_prefix": "/api", "read_timeout": 5})
    ).settings

    assert (settings.api_prefix, settings.read_timeout) == ("/api", 5.0)


@pytest.mark.parametrize(
    ("parts", "named"),
    [({"host": None}, "host"), ({"login": None}, "Login"), ({"password": None}, "password")],
)
def test_a_connection_that_lacks_something_says_what(parts: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        DigitalAudienceHook.client_of(connection(**parts))


def test_secrets_of_the_vendor_are_masked(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hooks, "mask_secret", masked.append)

    DigitalAudienceHook.client_of(
        connection(host=vendor.server.url, login="crm@example.com", password=PASSWORD)
    ).login()

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
        f"Logged in as crm@example.com; the organisation has 1 platform account [{vendor.server.url}]",
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
