"""What a connection to CommBox may hold."""

from __future__ import annotations

from typing import Any

import pytest

from audience_onboarding.commbox.form import connection_type
from audience_onboarding.commbox.settings import PRODUCTION, CommBoxSettings
from audience_onboarding.errors import ConfigurationError
from audience_onboarding.http.account import COMMON_OPTIONS


def settings(host: str = "", *, key: str = "hunter22", **options: Any) -> CommBoxSettings:
    found: CommBoxSettings = CommBoxSettings.from_options(host=host, key=key, options=options)
    return found


@pytest.mark.parametrize(
    ("host", "base_url"),
    [
        ("", "https://api.commbox.io"),
        ("https://api.commbox.io/", "https://api.commbox.io"),
        ("proxy.example/commbox", "https://proxy.example/commbox"),
    ],
)
def test_an_empty_host_is_the_vendors(host: str, base_url: str) -> None:
    assert settings(host).base_url == base_url
    assert PRODUCTION == "https://api.commbox.io"


@pytest.mark.parametrize("key", ["abc", "eyJhbGciOi.eyJjbGllbnQi.c2ln_-", " abc\n"])
def test_a_key_or_the_jwt_around_it_is_taken(key: str) -> None:
    assert settings(key=key).key == key.strip()


@pytest.mark.parametrize("key", ["", "  ", "Bearer hunter22", "hunter22\r\nX: 1", "hunter22\u00a0x"])
def test_what_can_be_no_key_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"key") as caught:
        settings(key=key)

    assert "hunter22" not in str(caught.value)


def test_the_key_is_never_shown() -> None:
    assert "hunter22" not in repr(settings())


def test_a_key_that_changes_daily_does_not_change_the_account() -> None:
    assert settings(key="monday").account == settings(key="tuesday").account == PRODUCTION


def test_an_unknown_option_is_a_typo() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown options: organization"):
        settings(organization="x")


def test_the_form_offers_what_the_settings_take() -> None:
    form = connection_type()

    assert set(form["conn-fields"]) == COMMON_OPTIONS
    assert form["connection-type"] == "commbox"
    assert settings(**dict.fromkeys(form["conn-fields"])) == settings()
