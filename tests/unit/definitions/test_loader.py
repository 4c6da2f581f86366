"""Reading a folder of definitions: a broken file is reported and does not keep the others from working."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.definitions import (
    AudienceDefinition,
    InvalidDefinition,
    definitions_folder,
    read_definition,
    read_definitions,
)
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.platform_registry import PLATFORMS, get_platform
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

Write = Callable[..., Path]
PROJECT = Path(__file__).resolve().parents[3]

BROKEN: dict[str, Any] = {
    "empty": "",
    "a list": "- a\n- list\n",
    "text": "text",
    "cut off": "a: [1",
    "a tab": "a:\n\tb: 1",
    "two colons": "a: b: c",
    "a list for a key": "? [a]\n: 1",
    "code": "a: !!python/object/apply:os.system ['true']",
    "a tag": "a: !unknown 1",
    "an alias": "a: *nowhere",
    "not a day": "start: 2026-02-30",
    "not a month": "start: 2026-13-01",
    "not an hour": "start: 2026-01-01 25:00:00",
    "a number for a field": "a: 1\n1: 2",
    "null for a field": "null: 2",
    "not UTF-8": b"name: \xff\xfe",
    "a null byte": "a: \x00",
    "too deep": "[" * 2000,
    "a key of its own": {**GOOD, "key": "other"},
    "nothing but a key": {"key": "newsletter"},
    "a field given twice": "name: One\nname: Two\nplatform: digital_audience\n",
    "two documents": "a: 1\n---\nb: 2\n",
}


def test_a_broken_file_is_named_and_does_not_stop_the_others(write: Write, tmp_path: Path) -> None:
    problems = []
    write(GOOD, "a.yaml")
    write(GOOD, "c.yaml")
    for name, content in BROKEN.items():
        path = write(content, "b.yaml")
        first, second, third = read_definitions(tmp_path)
        if not (isinstance(first, AudienceDefinition) and isinstance(third, AudienceDefinition)):
            problems.append(f"{name}: the others are not read")
        if not isinstance(second, InvalidDefinition) or "b.yaml" not in str(second.error):
            problems.append(f"{name}: {second}")
        elif second.path != path:
            problems.append(f"{name}: {second.path}")
        with pytest.raises(DefinitionError, match=r"b\.yaml"):
            read_definition(path)
    assert not problems, "\n".join(problems)


def test_a_file_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yaml").symlink_to(tmp_path / "nowhere")

    found = list(read_definitions(tmp_path))

    assert [type(item) for item in found] == [InvalidDefinition, InvalidDefinition]


def test_the_name_of_a_file_becomes_part_of_dag_ids(write: Write) -> None:
    for name in ("Newsletter", "news-letter", "news letter", "nieuwé", "x.y", "x" * 101):
        with pytest.raises(DefinitionError, match="lower-case letters, digits and underscores"):
            read_definition(write(GOOD, f"{name}.yaml"))
    for name in ("newsletter_nl", "2026", "a"):
        assert read_definition(write(GOOD, f"{name}.yaml")).key == name


def test_the_files_of_a_folder_are_read_by_name(write: Write, tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "_draft.yaml", ".hidden.yaml", "notes.md", "folder/c.yaml"):
        write(GOOD, name)

    found = list(read_definitions(tmp_path))

    # A draft is neither read nor called broken.
    assert [item.key for item in found if isinstance(item, AudienceDefinition)] == ["a", "b"]
    assert len(found) == 2


def test_a_yml_file_is_not_passed_over_in_silence(write: Write, tmp_path: Path) -> None:
    write(GOOD, "newsletter.yml")

    assert list(read_definitions(tmp_path)) != []


def test_one_definition_can_be_read_alone(write: Write, tmp_path: Path) -> None:
    write(GOOD, "a.yaml")
    write("broken: [", "b.yaml")

    assert [type(item) for item in read_definitions(tmp_path, only="a")] == [DigitalAudienceDefinition]
    assert [type(item) for item in read_definitions(tmp_path, only="b")] == [InvalidDefinition]
    assert list(read_definitions(tmp_path, only="c")) == []


# --- which platform -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_platform_says_which_model_it_is(write: Write, platform: str) -> None:
    content = {
        "platform": platform,
        "name": "Newsletter",
        "owner": "crm-team",
        "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
        **({"campaign": {"id": 5}} if platform == "digital_audience" else {"allow_unhashed": True}),
    }

    definition = read_definition(write(content))

    assert type(definition) is get_platform(platform).definition
    assert (definition.platform, definition.conn_id) == (platform, f"{platform}_default")


CHOICES = "Allowed: 'commbox', 'digital_audience', 'fanfare'"


@pytest.mark.parametrize(
    ("platform", "said"),
    [
        ("facebook", "unknown platform. " + CHOICES),
        ("Fanfare", f"unknown platform. {CHOICES}. Did you mean 'fanfare'?"),
        ("digital-audience", f"unknown platform. {CHOICES}. Did you mean 'digital_audience'?"),
        ("", "unknown platform. " + CHOICES),
        (5, "unknown platform. " + CHOICES),
        (["fanfare"], "unknown platform. " + CHOICES),
        ({"fanfare": 1}, "unknown platform. " + CHOICES),
        (None, "is empty. " + CHOICES),
        (REMOVE, "missing. " + CHOICES),
    ],
    ids=["unknown", "upper case", "a dash", "empty", "a number", "a list", "an object", "null", "missing"],
)
def test_a_platform_that_is_none_says_which_there_are(write: Write, platform: Any, said: str) -> None:
    path = write(changed(platform=platform))

    with pytest.raises(DefinitionError) as caught:
        read_definition(path)

    (problem,) = caught.value.diagnostics
    lines = path.read_text().splitlines()
    line = next((number for number, text in enumerate(lines, 1) if text.startswith("platform:")), 1)
    assert str(problem) == f"newsletter.yaml:{line}: platform: {said}"


def test_the_fields_of_one_platform_are_typos_at_another(write: Write) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(write(changed(platform="fanfare", allow_unhashed=True)))

    assert [(item.field, item.message) for item in caught.value.diagnostics] == [
        ("activation", "unknown field on this platform, only valid on digital_audience"),
        ("campaign", "unknown field on this platform, only valid on digital_audience"),
    ]


def test_the_folder_is_that_of_the_project_unless_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIENCE_ONBOARDING_DEFINITIONS", raising=False)
    assert definitions_folder(Path("/project")) == Path("/project/include/audiences")
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", "")
    assert definitions_folder(Path("/project")) == Path("/project/include/audiences")
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", "/elsewhere")
    assert definitions_folder(Path("/project")) == Path("/elsewhere")


def test_the_examples_of_the_repository_are_good() -> None:
    found = list(read_definitions(PROJECT / "include" / "audiences"))

    assert [item.key for item in found if isinstance(item, AudienceDefinition)] == [
        "loyalty_members",
        "newsletter_nl",
        "presale_fans",
        "service_alerts",
    ]
    assert len(found) == 4
