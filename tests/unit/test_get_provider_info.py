"""What Airflow reads of the package when it discovers it as a provider."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.sdk.definitions.connection import Connection

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.get_provider_info import get_provider_info
from audience_onboarding.http import ClientSettings
from audience_onboarding.http.settings import COMMON_OPTIONS
from audience_onboarding.platform_registry import PLATFORMS
from audience_onboarding.platforms.digital_audience.connection import DigitalAudienceSettings
from audience_onboarding.platforms.digital_audience.hooks import DigitalAudienceHook

PROJECT = Path(__file__).resolve().parents[2]
CONNECTION_TYPES = get_provider_info()["connection-types"]

VALUES: dict[str, Any] = {
    "api_prefix": "/api",
    "verify_tls": "false",
    "connect_timeout": 5,
    "read_timeout": 5,
    "portal_url": "https://portal/{audience_id}",
    "paths": '{"create_campaign": "/campaign/create"}',
    "session_expired_pattern": "expired",
    "max_requests_per_minute": 30,
}
"""A value for each field of the form."""


def settings(**options: Any) -> DigitalAudienceSettings:
    return DigitalAudienceSettings.from_options(
        host="https://vendor.example", user_name="u", password="p", options=options
    )


@pytest.fixture(scope="module")
def form() -> dict[str, Any]:
    (found,) = [item for item in CONNECTION_TYPES if item["connection-type"] == "digital_audience"]
    fields: dict[str, Any] = found["conn-fields"]
    return fields


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_it_is_what_airflow_wants(schema: str) -> None:
    found = files("airflow") / schema
    if not found.is_file():
        pytest.skip(f"this Airflow has no {schema}")
    rules = json.loads(found.read_text(encoding="utf-8"))
    if "yaml" in schema:
        # That schema is for the file that providers keep in Airflow's repository; the part about connections counts.
        rules = {**rules["properties"]["connection-types"], "definitions": rules.get("definitions", {})}
        jsonschema.validate(CONNECTION_TYPES, rules)
    else:
        jsonschema.validate(get_provider_info(), rules)


def test_every_platform_has_a_connection_type_with_a_hook() -> None:
    assert [item["connection-type"] for item in CONNECTION_TYPES] == list(PLATFORMS)
    for item in CONNECTION_TYPES:
        hook = hook_of(item)
        assert (hook.conn_type, hook.hook_name) == (item["connection-type"], item["hook-name"])


def hook_of(item: dict[str, Any]) -> Any:
    module, _, name = item["hook-class-name"].rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("item", CONNECTION_TYPES, ids=lambda item: item["connection-type"])
def test_every_form_has_the_fields_that_its_settings_read(item: dict[str, Any]) -> None:
    settings_type = type_of_settings(hook_of(item))

    assert set(item["conn-fields"]) == COMMON_OPTIONS | settings_type.own_options
    for field in item["conn-fields"].values():
        assert field["label"]
        assert "Empty:" in field["description"] or "Operations:" in field["description"]
        jsonschema.validate(None, field["schema"])
    placeholders = item["conn-fields"]["portal_url"]["description"]
    assert all(f"{{{name}}}" in placeholders for name in settings_type.portal_placeholders)
    behaviour = item["ui-field-behaviour"]
    assert {"schema", "extra"} <= set(behaviour["hidden-fields"])
    assert ("login" in behaviour["hidden-fields"]) is (item["connection-type"] != "digital_audience")
    assert not set(behaviour["hidden-fields"]) & {*behaviour["relabeling"], *behaviour["placeholders"]}


def type_of_settings(hook: Any) -> type[ClientSettings]:
    """What a hook makes of a connection."""
    made: ClientSettings = hook.client_of(
        Connection(conn_id="c", conn_type="c", host="https://vendor.example", login="u", password="p")
    ).settings
    return type(made)


def test_the_form_takes_what_the_settings_take(form: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(typo=1)
    allowed = caught.value.next_step.removeprefix("Allowed are ").split(", ")
    assert set(form) == set(VALUES) == set(allowed)
    for name, value in VALUES.items():
        assert settings(**{name: value}) != settings(), f"{name} changes nothing"
        assert settings(**{name: None}) == settings()
        jsonschema.validate(value, form[name]["schema"])
    for name in ("connect_timeout", "read_timeout"):
        for value in (0, -1, "soon"):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(value, form[name]["schema"])


def test_airflow_knows_the_connection_type(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.providers_manager_runtime import ProviderInfo, ProvidersManagerTaskRuntime

    manager = ProvidersManagerTaskRuntime()
    manager._initialized_cache.clear()
    monkeypatch.setattr(
        manager,
        "initialize_providers_list",
        lambda: manager._provider_dict.update(
            {"airflow-audience-onboarding": ProviderInfo("0.1.0", get_provider_info())}
        ),
    )

    found = manager.hooks["digital_audience"]

    assert found is not None
    assert found.hook_name == DigitalAudienceHook.hook_name


def test_the_distribution_has_the_entry_point() -> None:
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")

    assert "[project.entry-points.apache_airflow_provider]" in text
    assert '"audience_onboarding.get_provider_info:get_provider_info"' in text
