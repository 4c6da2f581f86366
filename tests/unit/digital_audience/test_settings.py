"""What a connection may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.digital_audience.settings import DEFAULT_PATHS, DigitalAudienceSettings
from audience_onboarding.errors import ConfigurationError


def settings(
    host: str = "https://vendor.example",
    *,
    user_name: str = "crm",
    password: str = "hunter22",
    **options: Any,
) -> DigitalAudienceSettings:
    return DigitalAudienceSettings.from_options(
        host=host, user_name=user_name, password=password, options=options
    )


@pytest.mark.parametrize(
    ("missing", "named"), [("host", "host"), ("user_name", "Login"), ("password", "password")]
)
def test_what_a_connection_cannot_do_without(missing: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"connection has no .*{named}"):
        settings(**{missing: ""})


def test_an_unknown_option_is_a_typo() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown options: api_prefx, zzz.*api_prefix"):
        settings(api_prefx="/api", zzz=1)


def test_empty_fields_of_the_form_mean_the_defaults() -> None:
    empty = settings(
        api_prefix="",
        verify_tls=None,
        connect_timeout=None,
        read_timeout="",
        paths="",
        session_expired_pattern=None,
        portal_url="",
    )

    assert empty == settings()
    assert (empty.verify_tls, empty.connect_timeout, empty.read_timeout) == (True, 10.0, 60.0)


def test_the_password_is_never_shown() -> None:
    assert "hunter22" not in repr(settings())
    assert "hunter22" not in str(settings())


# --- paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["api", "/api", "/api/", "api/"])
def test_the_prefix_comes_before_every_path(prefix: str) -> None:
    assert settings(api_prefix=prefix).path("login") == "/api/account/login"


@pytest.mark.parametrize("prefix", ["", "/"])
def test_without_a_prefix_the_path_stands_alone(prefix: str) -> None:
    assert settings(api_prefix=prefix).path("login") == "/account/login"


@pytest.mark.parametrize(
    ("operation", "ids", "path"),
    [
        ("create_campaign", {}, "/campaign/createcampaign"),
        ("create_crm_audience", {}, "/audience/createcrmaudience"),
        ("load_audience", {"audience_id": 69249}, "/audience/loadAudienceById/69249"),
        ("load_audience_segments", {"audience_id": 69249}, "/segment/audience:69249"),
        ("delete_segment", {"segment_id": 5}, "/segment/5"),
        ("load_platform_accounts", {}, "/organisation/loadplatformaccounts"),
    ],
)
def test_paths_are_those_of_the_vendors_pages(operation: str, ids: dict[str, int], path: str) -> None:
    assert settings().path(operation, **ids) == path


OVERRIDE = {"create_campaign": "/campaign/create", "load_segment": "/segment/{segment_id}"}


@pytest.mark.parametrize("given", [OVERRIDE, json.dumps(OVERRIDE)], ids=["object", "text of the form"])
def test_a_path_can_be_overridden(given: Any) -> None:
    changed = settings(paths=given, api_prefix="/api")

    assert changed.path("create_campaign") == "/api/campaign/create"
    assert changed.path("load_segment", segment_id=5) == "/api/segment/5"
    assert changed.path("login") == "/api/account/login"


def test_settings_with_the_same_paths_are_the_same_account() -> None:
    one, other = settings(paths=OVERRIDE), settings(paths=dict(reversed(OVERRIDE.items())))

    assert hash(one) == hash(other)
    assert one == other


def test_a_delete_may_pass_the_id_in_the_body() -> None:
    changed = settings(paths={"delete_audience": "/audience/delete"})

    assert changed.path("delete_audience", audience_id=5) == "/audience/delete"


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        ({"creat_campaign": "/x"}, "unknown operation 'creat_campaign'"),
        ({"create_campaign": "x"}, "'x' for create_campaign"),
        ({"create_campaign": ""}, "for create_campaign"),
        ({"create_campaign": "/x/{audience_id}"}, "no placeholder"),
        ({"load_audience": "/audience"}, "{audience_id}"),
        ({"load_audience": "/audience/{id}"}, "{audience_id}"),
        ({"load_audience": "/audience/{audience_id}/{segment_id}"}, "{audience_id}"),
        ({"load_audience": "/audience/{}"}, "{audience_id}"),
        ({"load_audience": "/audience/{audience_id"}, "{audience_id}"),
        ({"delete_audience": "/audience/{segment_id}"}, "{audience_id}"),
        ({"delete_segment": "/segment"}, "{segment_id}"),
        ({"load_audience": 5}, "not a JSON object"),
        ("not json", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        (5, "not a JSON object"),
    ],
)
def test_a_wrong_path_is_named(paths: Any, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(paths=paths)

    assert named in str(caught.value)


def test_every_default_path_passes_the_check_of_overrides() -> None:
    assert settings(paths=dict(DEFAULT_PATHS)).path("login") == "/account/login"


# --- the session and the portal ----------------------------------------------------------------------------


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="session_expired_pattern"):
        settings(session_expired_pattern="(")


def test_the_portal_may_show_audiences_and_segments() -> None:
    made = settings(portal_url="https://portal/a/{audience_id}/s/{segment_id}")

    assert made.portal_link(audience_id=7, segment_id=5) == "https://portal/a/7/s/5"
    assert made.portal_link(audience_id=7) is None
