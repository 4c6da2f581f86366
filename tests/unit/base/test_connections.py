"""One S3 client of a process for all who ask for the same connection."""

from __future__ import annotations

import json

import pytest

from audience_onboarding.base import connections
from audience_onboarding.base.connections import s3_client


@pytest.fixture(autouse=True)
def no_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_s3_clients", {})


def connect(
    monkeypatch: pytest.MonkeyPatch, conn_id: str = "ours", *, key: str = "key", **extra: str
) -> None:
    said = {
        "conn_type": "aws",
        "login": key,
        "password": "secret-of-ours",
        "extra": {"region_name": "eu-west-1", **extra},
    }
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(said))


def test_who_asks_again_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    assert s3_client("ours") is s3_client("ours")


def test_a_connection_that_says_something_else_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    before = s3_client("ours")
    connect(monkeypatch, key="another")
    after = s3_client("ours")
    assert after is not before
    assert after._request_signer._credentials.access_key == "another"
    connect(monkeypatch, endpoint_url="http://127.0.0.1:1")
    elsewhere = s3_client("ours")
    assert elsewhere.meta.endpoint_url == "http://127.0.0.1:1"
    connect(monkeypatch)
    assert s3_client("ours") is before


def test_each_connection_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch)
    connect(monkeypatch, "theirs")
    assert s3_client("ours") is not s3_client("theirs")


def test_without_a_connection_credentials_are_looked_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert s3_client("not_there")._request_signer._credentials.access_key == "first"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "second")
    assert s3_client("not_there")._request_signer._credentials.access_key == "second"


def test_no_secret_is_kept_beside_the_clients_and_not_too_many_of_these(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_MAX_CLIENTS", 2)
    for key in ("first", "second", "third"):
        connect(monkeypatch, key=key)
        s3_client("ours")
        assert len(connections._s3_clients) <= 2
    assert "secret-of-ours" not in str(list(connections._s3_clients))
