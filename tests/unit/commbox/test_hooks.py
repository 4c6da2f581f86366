"""From an Airflow connection to a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.base import hooks
from audience_onboarding.commbox.client import CommBoxClient
from audience_onboarding.commbox.hooks import CommBoxHook
from audience_onboarding.commbox.settings import PRODUCTION
from audience_onboarding.errors import ConfigurationError
from audience_onboarding.http import forget_clients
from tests.unit.commbox.conftest import KEY, Vendor, dynamic, static


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget_clients()
    yield
    forget_clients()


def connection(**parts: Any) -> Connection:
    return Connection(conn_id="cb", **{"conn_type": "commbox", "password": KEY, **parts})


def test_an_empty_host_is_the_vendors() -> None:
    client = CommBoxHook.client_of(connection())

    assert isinstance(client, CommBoxClient)
    assert (client.settings.base_url, client.settings.key) == (PRODUCTION, KEY)


def test_a_connection_without_a_key_cannot_be_used() -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        CommBoxHook.client_of(connection(password=None))


def test_the_key_is_masked_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hooks, "mask_secret", masked.append)

    CommBoxHook.client_of(connection())

    assert masked == [KEY]


@pytest.mark.parametrize(
    ("key", "good", "said"),
    [(KEY, True, "the account has 2 audiences"), ("of-yesterday", False, "Settings > API")],
)
def test_the_test_of_a_connection_lists_and_changes_nothing(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, key: str, good: bool, said: str
) -> None:
    given = {"conn_type": "commbox", "host": vendor.server.url, "password": key}
    monkeypatch.setenv("AIRFLOW_CONN_CB", json.dumps(given))
    vendor.lists(static(), dynamic())

    found, message = CommBoxHook("cb").test_connection()

    assert found is good
    assert said in message
    assert key not in message
    assert [seen.method for seen in vendor.seen] == ["GET"]
