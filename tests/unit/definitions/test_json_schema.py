"""The JSON schemas of definitions: up to date, and neither stricter than the models nor blind."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from audience_onboarding.definitions.json_schema import (
    DEFAULTS_SCHEMA_FILE,
    SCHEMA_FILE,
    defaults_schema,
    definition_schema,
    schemas,
)
from audience_onboarding.definitions.validation_messages import PATTERNS
from audience_onboarding.platform_registry import PLATFORMS
from tests.repo.test_definition_options import EXAMPLES, at
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

AUDIENCES = Path(__file__).resolve().parents[3] / "include" / "audiences"
DEFINITIONS = sorted(path for path in AUDIENCES.glob("*.yaml") if not path.name.startswith("_"))


def as_json(content: Any) -> Any:
    """As an editor sees it, to which a date is text."""
    return json.loads(json.dumps(content, default=datetime.date.isoformat))


def errors(content: Any, schema: dict[str, Any]) -> list[str]:
    found = Draft202012Validator(schema).iter_errors(as_json(content))
    return sorted(".".join(map(str, error.absolute_path)) for error in found)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return definition_schema()


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    return defaults_schema()


def test_the_files_are_those_of_the_models() -> None:
    for name in (SCHEMA_FILE, DEFAULTS_SCHEMA_FILE):
        written = (AUDIENCES / name).read_text(encoding="utf-8")
        assert written == schemas()[name], "run: python -m audience_onboarding schema"


def test_they_are_schemas(schema: dict[str, Any], defaults: dict[str, Any]) -> None:
    for item in (schema, defaults):
        Draft202012Validator.check_schema(item)
        references = {text.split('"')[0] for text in json.dumps(item).split('"$ref": "')[1:]}
        assert references == {f"#/$defs/{name}" for name in item["$defs"]}


def test_the_files_of_the_repository_and_the_examples_of_the_page_fit(
    schema: dict[str, Any], defaults: dict[str, Any]
) -> None:
    for path in DEFINITIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_FILE}\n"), path
        assert errors(yaml.safe_load(text), schema) == [], path
    for example in EXAMPLES:
        content = example.content if example.is_defaults else example.definition()
        assert errors(content, defaults if example.is_defaults else schema) == [], at(example)


COMPLETED: list[dict[str, Any]] = [
    {},
    {"owner": REMOVE},
    {"source": REMOVE},
    {"source__columns": REMOVE},
    {"schedule": {"timezone": "UTC"}},
    {"schedule": None},
    {"retries": None},
    {"guards": {"max_row_drop": None}},
    {"source__columns": {"email": {"column": "E", "hashed": True}, "phone": None}},
    {"source__sheet": 2, "source__path": "x.xlsx"},
    {"environments": {"staging": {"name": "Other", "id": 5, "upload": {"bucket": "b"}, "schedule": None}}},
    {"environments": {"staging": {}}, "name": REMOVE},
    {"platform": "fanfare", "campaign": REMOVE, "activation": REMOVE, "id": 7},
    {"platform": "fanfare", "campaign": REMOVE, "activation": REMOVE, "id": "a-7"},
]


def test_fields_that_the_defaults_may_complete_are_no_error(schema: dict[str, Any]) -> None:
    problems = [
        f"{changes}: {found}" for changes in COMPLETED if (found := errors(changed(**changes), schema))
    ]
    assert not problems, "\n".join(problems)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"gaurds": {}}, ""),
    ({"platform": "facebook"}, "platform"),
    ({"platform": REMOVE}, ""),
    ({"name": REMOVE}, ""),
    ({"key": "x"}, ""),
    ({"retries": "three"}, "retries"),
    ({"retries": -1}, "retries"),
    ({"guards": {"max_row_drop": 30}}, "guards.max_row_drop"),
    ({"upload": {"mode": "add"}}, "upload.mode"),
    ({"source__columns": {"emial": "E"}}, "source.columns"),
    ({"source__columns": {"email": 5}}, "source.columns.email"),
    ({"source__columns": {"email": {"hash": True}}}, "source.columns.email"),
    ({"schedule__start": 5}, "schedule.start"),
    ({"tags": "crm"}, "tags"),
    ({"activation__targets__0__description": REMOVE}, "activation.targets"),
    ({"activation__targets__0__duration_days": None}, "activation.targets"),
    ({"environments": {"staging": {"gaurds": {}}}}, "environments.staging"),
    ({"environments": {"staging": {"platform": "fanfare"}}}, "environments.staging"),
    ({"environments": {"a b": {}}}, "environments"),
    ({"platform": "fanfare"}, ""),
]


def test_errors_are_marked_in_their_place(schema: dict[str, Any]) -> None:
    problems = []
    for changes, where in WRONG:
        found = errors(changed(**changes), schema)
        if not found or not all(place.startswith(where) for place in found):
            problems.append(f"{changes}: {found}")
    assert not problems, "\n".join(problems)


def test_the_defaults_have_a_schema_of_their_own(defaults: dict[str, Any]) -> None:
    good = {
        "owner": "crm-team",
        "tags": ["crm"],
        "schedule": {"timezone": "Europe/Amsterdam"},
        "platforms": {"digital_audience": {"campaign": {"id": 5}}, "commbox": {"allow_unhashed": True}},
        "environments": {"staging": {"retries": 0, "platforms": {"fanfare": {"conn_id": "x"}}}},
    }

    assert errors(good, defaults) == []
    for wrong, where in (
        ({"name": "x"}, ""),
        ({"campaign": {"id": 5}}, ""),
        ({"platforms": {"digital_audience": {"id": 5}}}, "platforms.digital_audience"),
        ({"platforms": {"facebook": {}}}, "platforms"),
        ({"environments": {"staging": {"name": "x"}}}, "environments.staging"),
    ):
        assert errors(wrong, defaults) == [where]


def test_fields_say_what_they_are(schema: dict[str, Any]) -> None:
    parts = schema["$defs"]

    said = {
        "digital_audience.name": "Name of the audience at the vendor.",
        "fanfare.id": "Id of an existing audience; no audience is created then.",
        "S3UploadConfig.memory_limit_mib": "Memory limit of the engine",
        "SourceConfig.query": "is bound as a parameter.",
    }
    for place, text in said.items():
        part, _, name = place.partition(".")
        description = parts[part]["properties"][name]["description"]
        assert description.startswith(text) or description.endswith(text)
    texts = [
        item.get("description", "") for part in parts.values() for item in part.get("properties", {}).values()
    ]
    assert len([text for text in texts if text]) > len(texts) / 2
    assert not any("``" in text or ":class:" in text for text in texts)


def patterns_in(item: Any) -> set[str]:
    if isinstance(item, list):
        return {text for inner in item for text in patterns_in(inner)}
    if not isinstance(item, dict):
        return set()
    own = {item["pattern"]} if isinstance(item.get("pattern"), str) else set()
    return own | {text for inner in item.values() for text in patterns_in(inner)}


def test_every_pattern_has_a_message(schema: dict[str, Any]) -> None:
    used = {text for part in schema["$defs"].values() for text in patterns_in(part.get("properties", {}))}

    assert used - {"^[A-Za-z0-9][A-Za-z0-9_-]{0,49}$"} <= set(PATTERNS)
    assert len(used) > 3


def test_every_platform_is_in_it(schema: dict[str, Any]) -> None:
    assert {"commbox", "digital_audience", "fanfare"} == set(PLATFORMS) <= set(schema["$defs"])
    assert errors(GOOD, schema) == []
