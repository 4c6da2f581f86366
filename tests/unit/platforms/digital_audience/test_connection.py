"""Settings of Digital Audience only: user name, paths, and the pattern of an expired session."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.platforms.digital_audience.connection import DEFAULT_PATHS, DigitalAudienceSettings
from tests.unit.http.plain import error_of


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
def test_a_missing_part_of_the_connection_is_named(missing: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"connection has no .*{named}"):
        settings(**{missing: ""})


def test_the_prefix_comes_before_every_path() -> None:
    prefixes = {
        **dict.fromkeys(("api", "/api", "/api/", "api/"), "/api/account/login"),
        **dict.fromkeys(("", "/"), "/account/login"),
    }

    assert {prefix: settings(api_prefix=prefix).path("login") for prefix in prefixes} == prefixes


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


WRONG_PATHS: list[tuple[Any, str]] = [
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
    *((odd, "not a JSON object") for odd in ({"load_audience": 5}, "not json", "[1]", '"text"', 5)),
]


def test_a_wrong_path_is_named_and_every_default_path_is_valid() -> None:
    for paths, named in WRONG_PATHS:
        assert named in str(error_of(lambda paths=paths: settings(paths=paths), ConfigurationError)), paths
    assert settings(paths=dict(DEFAULT_PATHS)).path("login") == "/account/login"


def test_an_invalid_pattern_of_an_expired_session_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="session_expired_pattern"):
        settings(session_expired_pattern="(")
