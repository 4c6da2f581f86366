"""From an Airflow connection to the one client of a process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.base import hooks
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http import reset_clients
from tests.unit.base.plain import HOST, KEY, PlainHook
from tests.unit.http.loopback import Loopback, Reply


def connection(**parts: Any) -> Connection:
    extra = parts.pop("extra", None)
    return Connection(
        conn_id="plain",
        **{
            "conn_type": "plain",
            "host": "https://vendor.example",
            "password": KEY,
            "extra": None if extra is None else json.dumps(extra),
            **parts,
        },
    )


@pytest.mark.parametrize(
    ("parts", "base_url"),
    [
        ({}, "https://vendor.example"),
        ({"host": "vendor.example"}, "https://vendor.example"),
        ({"host": " vendor.example "}, "https://vendor.example"),
        ({"host": "vendor.example", "schema": "http"}, "http://vendor.example"),
        ({"host": "https://vendor.example", "schema": "http"}, "https://vendor.example"),
        ({"host": "vendor.example", "port": 8443}, "https://vendor.example:8443"),
        ({"host": "https://vendor.example/", "port": 8443}, "https://vendor.example:8443"),
        ({"host": "https://vendor.example/sub", "port": 8443}, "https://vendor.example:8443/sub"),
        ({"host": "https://vendor.example:8443", "port": 8443}, "https://vendor.example:8443"),
        ({"host": "https://vendor.example:8443", "port": 9999}, "https://vendor.example:8443"),
        ({"host": "", "port": 8443}, HOST),
        ({"host": None}, HOST),
    ],
)
def test_the_address_of_a_connection(parts: dict[str, Any], base_url: str) -> None:
    assert PlainHook.client_of(connection(**parts)).settings.base_url == base_url


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        *[({"host": host, "port": 8443}, "") for host in ("https://[::1", "https://host:port", "ftp://host")],
        *[({"password": password}, "Password") for password in (None, "", " ")],
    ],
)
def test_an_invalid_connection_is_a_configuration_error(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message or None):
        PlainHook.client_of(connection(**parts))


def test_key_and_options_come_from_password_and_extra() -> None:
    settings = PlainHook.client_of(connection(extra={"read_timeout": 5, "verify_tls": "false"})).settings

    assert (settings.key, settings.read_timeout, settings.verify_tls) == (KEY, 5.0, False)


def test_the_key_is_masked_in_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hooks, "mask_secret", masked.append)

    PlainHook.client_of(connection())

    assert masked == [KEY]


# --- one client per account ---------------------------------------------------------------------------------


def test_hooks_of_an_account_share_their_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ONE", "TWO"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", connection().get_uri())

    hook = PlainHook("one")

    assert hook.client is hook.get_conn() is PlainHook("two").client


def test_another_account_key_or_option_is_another_client() -> None:
    different = [
        {},
        {"host": "https://other.example"},
        {"password": "another"},
        {"extra": {"read_timeout": 5}},
    ]
    before = [PlainHook.client_of(connection(**parts)) for parts in different]
    assert len(set(map(id, before))) == len(different)

    reset_clients()

    assert PlainHook.client_of(connection()) not in before


def test_many_threads_get_one_client() -> None:
    with ThreadPoolExecutor(16) as pool:
        clients = list(pool.map(lambda _: PlainHook.client_of(connection()), range(64)))

    assert len({id(client) for client in clients}) == 1


# --- the test of a connection -------------------------------------------------------------------------------


@pytest.fixture
def vendor() -> Iterator[Loopback]:
    with Loopback(
        lambda seen: Reply(200 if KEY in seen.headers["Authorization"] else 401, {"state": "ready"})
    ) as it:
        yield it


def test_the_test_of_a_connection_asks_the_vendor(vendor: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLAIN_DEFAULT", connection(host=vendor.url).as_json())

    assert PlainHook().test_connection() == (True, f"The first thing is ready [{vendor.url}]")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"password": "wrong"}, "Credentials not accepted"),
        ({"password": "wr ong"}, "contains a space"),
        ({"password": None}, "no key"),
        ({"host": "https://[::1"}, "not an http or https URL"),
        ({"extra": {"typo": 1}}, "unknown options: typo"),
    ],
)
def test_the_test_of_a_connection_says_what_is_wrong(
    vendor: Loopback, monkeypatch: pytest.MonkeyPatch, parts: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLAIN_DEFAULT", connection(**{"host": vendor.url, **parts}).as_json())

    good, message = PlainHook().test_connection()

    assert not good
    assert said in message
    assert "wrong" not in message
    assert "wr ong" not in message
