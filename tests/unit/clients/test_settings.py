"""Settings and connection form of each vendor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.http.settings import COMMON_OPTIONS
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.platforms.commbox.connection import CommBoxSettings
from audience_onboarding.platforms.fanfare.connection import FanfareSettings
from tests.unit.clients import commbox, digital_audience, fanfare
from tests.unit.http.plain import error_of

VENDORS: dict[str, tuple[Callable[..., Any], Callable[[], dict[str, Any]]]] = {
    "commbox": (commbox.settings, get_platform("commbox").connection_type),
    "digital_audience": (digital_audience.settings, get_platform("digital_audience").connection_type),
    "fanfare": (fanfare.settings, get_platform("fanfare").connection_type),
}
BEARER: list[tuple[Any, str]] = [
    (CommBoxSettings, "https://api.commbox.io"),
    (FanfareSettings, "https://admin.fanfare.io/api"),
]


@pytest.mark.parametrize("kind", VENDORS)
def test_the_form_offers_the_options_of_the_settings(kind: str) -> None:
    settings, connection_type = VENDORS[kind]
    form = connection_type()
    made = settings("vendor.example")

    assert form["connection-type"] == kind
    assert set(form["conn-fields"]) == COMMON_OPTIONS | type(made).own_options
    assert ("login" in form["ui-field-behaviour"]["hidden-fields"]) is (kind != "digital_audience")
    # An empty form sends nulls.
    assert settings("vendor.example", **dict.fromkeys(form["conn-fields"])) == made
    assert settings("vendor.example", **dict.fromkeys(form["conn-fields"], "")) == made


@pytest.mark.parametrize("kind", VENDORS)
def test_unknown_options_are_refused_and_secrets_never_shown(kind: str) -> None:
    settings, _ = VENDORS[kind]
    error = error_of(lambda: settings("vendor.example", organisation="x"), ConfigurationError)
    own = sorted(type(settings("vendor.example")).own_options)

    assert "unknown options: organisation" in str(error)
    assert all(option in error.next_step for option in own)
    made = settings("vendor.example")
    assert "hunter22" not in f"{made!r} {made} {made.account}"


@pytest.mark.parametrize(("kind", "production"), BEARER)
def test_host_and_account_are_those_of_the_vendors_pages_whatever_the_key(kind: Any, production: str) -> None:
    for key in ("sk_live_abc", "a-key-of-the-future", " eyJhbGciOi.eyJjbGllbnQi.c2ln_-\n"):
        made = kind.from_options(host="", key=key, options={})

        assert (made.key, made.base_url) == (key.strip(), production)
        # A rotated key must not make the package forget the ids of the account.
        assert made.account == production


def test_a_publishable_key_of_fanfare_is_refused_without_being_quoted() -> None:
    for key in ("pk_live_hunter22", "pk_test_hunter22", " pk_test_hunter22"):
        with pytest.raises(ConfigurationError, match=r"publishable one \(pk_\.\.\.\).*secret key") as caught:
            fanfare.settings("", secret=key)

        assert "hunter22" not in str(caught.value)


def test_an_account_of_fanfare_is_host_and_organization() -> None:
    host = "https://admin.fanfare.io/api"
    accounts = {"": host, None: host, "org_1": f"{host} organization org_1"}

    assert {given: fanfare.settings("", organization=given).account for given in accounts} == accounts


def test_the_type_of_a_static_list_of_fanfare_is_one_of_two_words() -> None:
    with pytest.raises(ConfigurationError, match=r"'static_list_type' 'LIST' of the connection.*and STATIC"):
        fanfare.settings("", static_list_type="LIST")


def test_a_portal_link_may_name_a_segment_at_digital_audience_only() -> None:
    template = "https://portal/a/{audience_id}/s/{segment_id}"
    both = digital_audience.settings("vendor.example", portal_url=template)
    assert both.portal_link(audience_id=7, segment_id=5) == "https://portal/a/7/s/5"
    for settings in (fanfare.settings, commbox.settings):
        with pytest.raises(ConfigurationError, match="placeholder"):
            settings("", portal_url=template)
