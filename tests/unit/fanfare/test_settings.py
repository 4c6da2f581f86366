"""What a connection to Fanfare may hold."""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.errors import ConfigurationError
from audience_onboarding.fanfare.form import connection_type
from audience_onboarding.fanfare.settings import PRODUCTION, FanfareSettings
from audience_onboarding.http.account import COMMON_OPTIONS

KEY = "sk_test_hunter22"


def settings(host: str = "", *, key: str = KEY, **options: Any) -> FanfareSettings:
    found: FanfareSettings = FanfareSettings.from_options(host=host, key=key, options=options)
    return found


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("", "https://admin.fanfare.io/api"),
        ("   ", "https://admin.fanfare.io/api"),
        ("admin.fanfare.io/api/v1", "https://admin.fanfare.io/api/v1"),
        ("https://admin.fanfare.io/api/v1/", "https://admin.fanfare.io/api/v1"),
        ("http://localhost:4800", "http://localhost:4800"),
    ],
)
def test_an_empty_host_is_the_vendors(host: str, base_url: str) -> None:
    assert settings(host).base_url == base_url


def test_the_production_server_is_the_one_of_the_pages() -> None:
    assert PRODUCTION == "https://admin.fanfare.io/api"


@pytest.mark.parametrize("key", ["sk_live_abc", "sk_test_abc", "a-key-of-the-future", "  sk_live_abc\n"])
def test_a_secret_key_is_taken(key: str) -> None:
    assert settings(key=key).key == key.strip()


@pytest.mark.parametrize("key", ["pk_live_hunter22", "pk_test_hunter22", " pk_test_hunter22"])
def test_a_publishable_key_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"publishable one \(pk_\.\.\.\).*secret key") as caught:
        settings(key=key)

    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", "sk_test hunter22", "sk_test_hunter22\nX-Injected: 1", "sk_tést"])
def test_what_can_be_no_key_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"key") as caught:
        settings(key=key)

    assert "hunter22" not in str(caught.value)


def test_the_key_is_never_shown() -> None:
    assert "hunter22" not in repr(settings())
    assert "hunter22" not in str(settings())


@pytest.mark.parametrize(
    ("options", "account"),
    [
        ({}, "https://admin.fanfare.io/api"),
        ({"organization": ""}, "https://admin.fanfare.io/api"),
        ({"organization": None}, "https://admin.fanfare.io/api"),
        ({"organization": "org_1"}, "https://admin.fanfare.io/api organization org_1"),
    ],
)
def test_an_account_is_told_by_host_and_organization(options: dict[str, Any], account: str) -> None:
    assert settings(**options).account == account


def test_another_key_of_the_same_organization_is_the_same_account() -> None:
    # A key that is rotated must not make the package forget what it has created.
    assert settings(key="sk_live_a").account == settings(key="sk_live_b").account


def test_an_unknown_option_is_a_typo() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown options: organisation.*organization"):
        settings(organisation="org_1")


def test_the_portals_link_knows_the_audience() -> None:
    assert settings(portal_url="https://x/{audience_id}").portal_link(audience_id="a_1") == "https://x/a_1"
    with pytest.raises(ConfigurationError, match="placeholder"):
        settings(portal_url="https://x/{segment_id}")


def test_the_form_offers_what_the_settings_take() -> None:
    form = connection_type()

    assert set(form["conn-fields"]) == COMMON_OPTIONS | FanfareSettings.own_options
    assert form["connection-type"] == "fanfare"
    assert "login" in form["ui-field-behaviour"]["hidden-fields"]
    # What the empty form sends is the default.
    assert settings(**dict.fromkeys(form["conn-fields"])) == settings()
