"""From an Airflow connection to the client of each vendor, and its test in the connection form.

Failures of the test are in ``tests/unit/test_connection_tests.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.base import hooks
from audience_onboarding.base.hooks import PlatformHook
from audience_onboarding.http import reset_clients
from audience_onboarding.platforms.commbox.hooks import CommBoxHook
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook
from audience_onboarding.platforms.fanfare.hooks import FanfareHook
from tests.unit.clients.commbox import COMMBOX
from tests.unit.clients.contract import Platform
from tests.unit.clients.digital_audience import DIGITAL_AUDIENCE
from tests.unit.clients.fanfare import FANFARE
from tests.unit.http.loopback import Reply
from tests.unit.platforms.commbox.conftest import dynamic, static
from tests.unit.platforms.digital_audience.conftest import PASSWORD, USER
from tests.unit.platforms.fanfare.conftest import ORGANIZATION, audience_json, page

HOOKS: dict[str, tuple[type[PlatformHook[Any]], Platform]] = {
    "commbox": (CommBoxHook, COMMBOX),
    "digital_audience": (DigitalAudienceHook, DIGITAL_AUDIENCE),
    "fanfare": (FanfareHook, FANFARE),
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    reset_clients()
    yield
    reset_clients()


def given(kind: str, **parts: Any) -> dict[str, Any]:
    """Return the fields of a connection with valid credentials."""
    secret = getattr(HOOKS[kind][1].vendor, "key", PASSWORD)
    return {"conn_type": kind, "host": "vendor.example", "login": USER, "password": secret, **parts}


def client_of(kind: str, **parts: Any) -> Any:
    return HOOKS[kind][0].client_of(Connection.from_json(json.dumps(given(kind, **parts)), conn_id="c"))


@pytest.mark.parametrize("kind", HOOKS)
def test_the_parts_of_a_connection_make_a_client(kind: str) -> None:
    hook, platform = HOOKS[kind]
    client = client_of(kind, schema="http", port=4800, extra={"read_timeout": 5})

    assert type(client) is platform.client is hook.client_type
    assert (client.settings.base_url, client.settings.read_timeout) == ("http://vendor.example:4800", 5.0)


def test_own_fields_come_from_login_and_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client_of("fanfare", extra={"organization": "org_1"}).settings.organization == "org_1"
    monkeypatch.setenv(
        "AIRFLOW_CONN_DA", "digital-audience://crm%40example.com:p%2Fw@127.0.0.1:9300/http?api_prefix=%2Fapi"
    )
    settings = DigitalAudienceHook("da").client.settings
    assert settings.base_url == "http://127.0.0.1:9300"
    assert (settings.user_name, settings.password, settings.api_prefix) == (USER, "p/w", "/api")


@pytest.mark.parametrize("kind", HOOKS)
def test_secrets_are_masked_in_the_logs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hooks, "mask_secret", masked.append)
    with (vendor := HOOKS[kind][1].vendor()).server:
        client = client_of(kind, host=vendor.server.url)
        if kind == "digital_audience":
            client.login()

    assert masked == [getattr(vendor, "key", "session-0001-secret")]


ACCOUNTS = "GET /organisation/loadplatformaccounts"
ORG, OTHER_ORG = {"organization": ORGANIZATION}, {"organization": "org_1"}


@pytest.mark.parametrize(
    ("kind", "answer", "extra", "good", "message"),
    [
        ("commbox", [], {}, True, "The key is accepted; the account has 0 audiences"),
        ("commbox", [static(), dynamic()], {}, True, "The key is accepted; the account has 2 audiences"),
        *(
            (
                "digital_audience",
                [{"id": number} for number in range(1, 1 + count)],
                {},
                True,
                f"Logged in as {USER}; the organisation has {words}",
            )
            for count, words in ((1, "1 platform account"), (2, "2 platform accounts"))
        ),
        ("fanfare", page(), {}, True, "The key is accepted; its organization has no audiences yet"),
        *(
            (
                "fanfare",
                page(audience_json(), end="a"),
                extra,
                True,
                f"The key is accepted; it belongs to organization {ORGANIZATION}, which has 1 audience on the first "
                "page of its list",
            )
            for extra in ({}, ORG)
        ),
        (
            "fanfare",
            page(audience_json(organizationId=None), end="a"),
            {},
            True,
            "The key is accepted; its organization has 1 audience on the first page of its list",
        ),
        ("fanfare", page(audience_json()), OTHER_ORG, False, "the connection names org_1"),
    ],
)
def test_the_test_of_a_connection_reads_once_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: str, answer: Any, extra: dict[str, Any], good: bool, message: str
) -> None:
    hook, platform = HOOKS[kind]
    with (vendor := platform.vendor()).server:
        vendor.answers["GET /audiences"] = vendor.answers[ACCOUNTS] = Reply(200, platform.wrap(answer))
        monkeypatch.setenv(
            "AIRFLOW_CONN_C", json.dumps(given(kind, host=vendor.server.url, extra=extra or None))
        )

        found, said = hook("c").test_connection()

    assert found is good
    assert said == f"{message} [{vendor.server.url}]" if good else message in said
    assert [seen.method for seen in vendor.calls] == ["GET"]
