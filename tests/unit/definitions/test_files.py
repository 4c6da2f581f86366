"""Reading a folder of definitions: a broken file is reported and does not keep the others from working."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.definitions import (
    AudienceDefinition,
    BrokenDefinition,
    definitions_folder,
    read_definition,
    read_definitions,
)
from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.errors import DefinitionError
from audience_onboarding.platforms import PLATFORMS, part_of
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

Write = Callable[..., Path]
PROJECT = Path(__file__).resolve().parents[3]

BROKEN: list[Any] = [
    pytest.param("", id="empty"),
    pytest.param("- a\n- list\n", id="a list"),
    pytest.param("text", id="text"),
    pytest.param("a: [1", id="cut off"),
    pytest.param("a:\n\tb: 1", id="a tab"),
    pytest.param("a: b: c", id="two colons"),
    pytest.param("? [a]\n: 1", id="a list for a key"),
    pytest.param("a: !!python/object/apply:os.system ['true']", id="code"),
    pytest.param("a: !unknown 1", id="a tag"),
    pytest.param("a: *nowhere", id="an alias"),
    pytest.param("start: 2026-02-30", id="a day that is none"),
    pytest.param("start: 2026-13-01", id="a month that is none"),
    pytest.param("start: 2026-01-01 25:00:00", id="an hour that is none"),
    pytest.param("a: 1\n1: 2", id="a number for a field"),
    pytest.param("null: 2", id="null for a field"),
    pytest.param(b"name: \xff\xfe", id="not UTF-8"),
    pytest.param("a: \x00", id="a null byte"),
    pytest.param("[" * 2000, id="too deep"),
    pytest.param({**GOOD, "key": "other"}, id="a key of its own"),
    pytest.param({"key": "newsletter"}, id="nothing but a key"),
]


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_definition_says_which_file(write: Write, content: Any) -> None:
    with pytest.raises(DefinitionError, match=r"newsletter\.yaml"):
        read_definition(write(content))


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_does_not_stop_the_others(write: Write, tmp_path: Path, content: Any) -> None:
    write(GOOD, "a.yaml")
    write(content, "b.yaml")
    write(GOOD, "c.yaml")

    first, second, third = read_definitions(tmp_path)

    assert isinstance(first, AudienceDefinition)
    assert isinstance(second, BrokenDefinition)
    assert isinstance(third, AudienceDefinition)
    assert second.path.name == "b.yaml"
    assert "b.yaml" in str(second.error)


def test_a_file_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    (tmp_path / "b.yaml").symlink_to(tmp_path / "nowhere")

    found = list(read_definitions(tmp_path))

    assert [type(item) for item in found] == [BrokenDefinition, BrokenDefinition]


@pytest.mark.parametrize(
    "name",
    [
        "Newsletter.yaml",
        "news-letter.yaml",
        "news letter.yaml",
        "nieuwé.yaml",
        "x.y.yaml",
        "x" * 101 + ".yaml",
    ],
)
def test_the_name_of_a_file_becomes_part_of_dag_ids(write: Write, name: str) -> None:
    with pytest.raises(DefinitionError, match="lower-case letters, digits and underscores"):
        read_definition(write(GOOD, name))


@pytest.mark.parametrize("name", ["newsletter_nl.yaml", "2026.yaml", "a.yaml"])
def test_good_names(write: Write, name: str) -> None:
    assert read_definition(write(GOOD, name)).key == name.removesuffix(".yaml")


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
    assert [type(item) for item in read_definitions(tmp_path, only="b")] == [BrokenDefinition]
    assert list(read_definitions(tmp_path, only="c")) == []


# --- which platform -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_platform_says_which_model_it_is(write: Write, platform: str) -> None:
    content = {
        "platform": platform,
        "name": "Newsletter",
        "owner": "crm-team",
        "source": {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}},
        **({"campaign": {"id": 5}} if platform == "digital_audience" else {"allow_raw": True}),
    }

    definition = read_definition(write(content))

    assert type(definition) is part_of(platform, "definition").DEFINITION
    assert (definition.platform, definition.connection) == (platform, f"{platform}_default")


CHOICES = "allowed is 'commbox', 'digital_audience', 'fanfare'"


@pytest.mark.parametrize(
    ("platform", "said"),
    [
        ("facebook", "no such platform; " + CHOICES),
        ("Fanfare", f"no such platform; {CHOICES}; did you mean 'fanfare'?"),
        ("digital-audience", f"no such platform; {CHOICES}; did you mean 'digital_audience'?"),
        ("", "no such platform; " + CHOICES),
        (5, "no such platform; " + CHOICES),
        (["fanfare"], "no such platform; " + CHOICES),
        ({"fanfare": 1}, "no such platform; " + CHOICES),
        (None, "is empty; " + CHOICES),
        (REMOVE, "missing; " + CHOICES),
    ],
    ids=["unknown", "upper case", "a dash", "empty", "a number", "a list", "an object", "null", "missing"],
)
def test_a_platform_that_is_none_says_which_there_are(write: Write, platform: Any, said: str) -> None:
    path = write(changed(platform=platform))

    with pytest.raises(DefinitionError) as caught:
        read_definition(path)

    (problem,) = caught.value.problems
    lines = path.read_text().splitlines()
    line = next((number for number, text in enumerate(lines, 1) if text.startswith("platform:")), 1)
    assert str(problem) == f"newsletter.yaml:{line}: platform: {said}"


def test_the_fields_of_one_platform_are_typos_at_another(write: Write) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(write(changed(platform="fanfare", allow_raw=True)))

    assert [(item.field, item.message) for item in caught.value.problems] == [
        ("activation", "no such field here, only on digital_audience"),
        ("campaign", "no such field here, only on digital_audience"),
    ]


def test_a_field_given_twice_is_an_error(write: Write) -> None:
    text = "name: One\nname: Two\n"

    with pytest.raises(DefinitionError, match="name"):
        read_definition(write(text + "platform: digital_audience\n"))


def test_a_definition_given_twice_in_a_file_is_an_error(write: Write) -> None:
    with pytest.raises(DefinitionError):
        read_definition(write("a: 1\n---\nb: 2\n"))


def test_the_folder_is_that_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIENCE_ONBOARDING_DEFINITIONS", raising=False)

    assert definitions_folder(Path("/project")) == Path("/project/include/audiences")


@pytest.mark.parametrize(
    ("value", "folder"), [("/elsewhere", "/elsewhere"), ("", "/project/include/audiences")]
)
def test_another_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, value: str, folder: str) -> None:
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", value)

    assert definitions_folder(Path("/project")) == Path(folder)


def test_the_examples_of_the_repository_are_good() -> None:
    found = list(read_definitions(PROJECT / "include" / "audiences"))

    assert [item.key for item in found if isinstance(item, AudienceDefinition)] == [
        "loyalty_members",
        "newsletter_nl",
        "presale_fans",
        "service_alerts",
    ]
    assert len(found) == 4


def test_the_problems_do_not_quote_the_values(write: Write) -> None:
    path = write(changed(name=["anna@example.com"]))

    with pytest.raises(DefinitionError) as caught:
        read_definition(path)

    assert "anna@example.com" not in str(caught.value)
