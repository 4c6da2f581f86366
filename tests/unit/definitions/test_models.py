"""What a definition may say, and how a wrong one is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from audience_onboarding.definitions import AudienceDefinition, read_definition
from audience_onboarding.definitions.models import Source
from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.errors import DefinitionError
from audience_onboarding.platforms import PLATFORMS, part_of
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

Write = Callable[..., Path]


def test_a_good_definition_is_read(write: Write) -> None:
    definition = read_definition(write(GOOD))

    assert isinstance(definition, DigitalAudienceDefinition)
    assert (definition.key, definition.name, definition.owner) == ("newsletter", "Newsletter", "crm-team")
    assert definition.schedule is not None
    assert (definition.schedule.start, definition.schedule.end) == (date(2026, 11, 16), date(2026, 11, 20))
    assert definition.activation is not None
    assert definition.activation.targets[0].days == 30


def test_what_is_left_out_has_a_default(write: Write) -> None:
    definition = read_definition(write(changed(schedule=REMOVE, activation=REMOVE)))

    assert isinstance(definition, DigitalAudienceDefinition)
    assert definition.connection == "digital_audience_default"
    assert (definition.upload.mode, definition.upload.aws_connection) == ("opt-in", "audience_s3")
    assert (definition.source.delimiter, definition.source.encoding, definition.source.country) == (
        ",",
        "utf-8",
        "NL",
    )
    assert definition.wait.success_states == ("READY",)
    assert (definition.schedule, definition.activation, definition.timezone) == (None, None, "UTC")


@pytest.mark.parametrize(
    "changes",
    [
        {"campaign": {"id": 5}},
        {"campaign": REMOVE, "id": 7},
        {"campaign": {"id": 5}, "id": 7},
        {"source__columns": {"phone": "Phone"}},
        {"source__columns": {"email": "E-mail", "phone": "Phone"}},
        {"source__path": "s3://bucket/{load_date:%Y/%m/%d}/x.csv"},
        {"source__path": "one file for all days.csv"},
        {"source__delimiter": ";"},
        {"source__delimiter": "\t"},
        {"source__encoding": "cp1252"},
        {"upload": {"mode": "replace", "bucket": "b", "wait_for_earlier_loads": "uploaded"}},
        {"schedule__cron": "@daily"},
        {"schedule__end": REMOVE},
        {"schedule__end": "2026-11-16"},
        {"schedule__timezone": REMOVE},
        {"activation__extend": REMOVE},
        {"activation__targets__0__account": {"id": 5}},
        {"activation__targets__0__account": {"platform": "DV360"}},
        {"retries": 0},
        {"tags": []},
        {"name": "Nieuwsbrief: één & twee 客户"},
    ],
    ids=repr,
)
def test_what_a_definition_may_say(write: Write, changes: dict[str, Any]) -> None:
    assert read_definition(write(changed(**changes))).key == "newsletter"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"platform": "facebook"}, "platform"),
        ({"platform": REMOVE}, "platform"),
        ({"name": REMOVE}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 251}, "name"),
        ({"name": 5}, "name"),
        ({"owner": REMOVE}, "owner"),
        ({"nmae": "typo"}, "nmae"),
        ({"id": 0}, "id"),
        ({"id": "seven"}, "id"),
        ({"campaign": REMOVE}, "definition"),
        ({"campaign": {}}, "campaign"),
        ({"campaign": {"name": "x", "id": 5}}, "campaign"),
        ({"campaign": {"nane": "x"}}, "campaign.nane"),
        ({"source": REMOVE}, "source"),
        ({"source__path": REMOVE}, "source.path"),
        ({"source__path": "{date}.csv"}, "source.path"),
        ({"source__path": "{}.csv"}, "source.path"),
        ({"source__path": "{load_date"}, "source.path"),
        ({"source__path": "{load_date.week}.csv"}, "source.path"),
        ({"source__path": "{load_date[0]}.csv"}, "source.path"),
        ({"source__columns": {}}, "source.columns"),
        ({"source__columns": {"mail": "E-mail"}}, "source.columns.mail"),
        ({"source__columns": {"email": ""}}, "source.columns.email"),
        ({"source__delimiter": ";;"}, "source.delimiter"),
        ({"source__delimiter": ""}, "source.delimiter"),
        ({"source__encoding": "utf8"}, "source.encoding"),
        ({"source__country": "nl"}, "source.country"),
        ({"source__country": "NLD"}, "source.country"),
        ({"upload": {"mode": "append"}}, "upload.mode"),
        ({"upload": {"wait_for_earlier_loads": "never"}}, "upload.wait_for_earlier_loads"),
        ({"upload": {"memory_limit_mib": 1}}, "upload.memory_limit_mib"),
        ({"schedule__cron": "every day"}, "schedule.cron"),
        ({"schedule__cron": "0 3 * *"}, "schedule.cron"),
        ({"schedule__cron": "0 3 * * * *"}, "schedule.cron"),
        ({"schedule__cron": "99 3 * * *"}, "schedule.cron"),
        ({"schedule__cron": "a b c d e"}, "schedule.cron"),
        ({"schedule__cron": "@fortnightly"}, "schedule.cron"),
        ({"schedule__timezone": "Mars/Olympus"}, "schedule.timezone"),
        ({"schedule__timezone": "CEST summer"}, "schedule.timezone"),
        ({"schedule__start": REMOVE}, "schedule.start"),
        ({"schedule__start": "soon"}, "schedule.start"),
        ({"schedule__start": "2026-12-01"}, "schedule"),
        ({"wait": {"confirm_by": "hope"}}, "wait.confirm_by"),
        ({"wait": {"poll_seconds": 0}}, "wait.poll_seconds"),
        ({"wait": {"poll_seconds": float("inf")}}, "wait.poll_seconds"),
        ({"wait": {"timeout_hours": -1}}, "wait.timeout_hours"),
        ({"wait": {"timeout_hours": float("inf")}}, "wait.timeout_hours"),
        ({"wait": {"timeout_hours": float("nan")}}, "wait.timeout_hours"),
        ({"wait": {"timeout_hours": 1e300}}, "wait.timeout_hours"),
        ({"tags": ["x" * 101]}, "tags"),
        ({"tags": "crm"}, "tags"),
        ({"activation__targets": []}, "activation.targets"),
        ({"activation__targets": [GOOD["activation"]["targets"][0]] * 2}, "activation.targets"),
        ({"activation__targets__0__key": "DV 360"}, "activation.targets.0.key"),
        ({"activation__targets__0__account": {}}, "activation.targets.0.account"),
        ({"activation__targets__0__account": {"id": -1}}, "activation.targets.0.account.id"),
        ({"activation__targets__0__days": 0}, "activation.targets.0.days"),
        ({"activation__targets__0__timeout_hours": float("inf")}, "activation.targets.0.timeout_hours"),
        ({"activation__targets__0__description": REMOVE}, "activation.targets.0.description"),
        ({"name": "Our {{ ds }} list"}, "name"),
        ({"activation__targets__0__segment_name": "{% raw %}"}, "activation.targets.0.segment_name"),
        ({"activation__extend": {"days": 0}}, "activation.extend.days"),
        ({"activation__extend": {"within_days": -1}}, "activation.extend.within_days"),
        ({"retries": -1}, "retries"),
    ],
    ids=repr,
)
def test_a_wrong_definition_names_file_and_field(write: Write, changes: dict[str, Any], field: str) -> None:
    path = write(changed(**changes))

    with pytest.raises(DefinitionError) as caught:
        read_definition(path)

    assert re.search(rf"newsletter\.yaml.*[:;] {re.escape(field)}(\.\d+)?: \S", str(caught.value))


def test_all_problems_of_a_file_are_named_at_once(write: Write) -> None:
    path = write(changed(name="", retries=-1, source__country="nl"))

    with pytest.raises(DefinitionError) as caught:
        read_definition(path)

    assert all(field in str(caught.value) for field in ("name:", "retries:", "source.country:"))


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("crm/{load_date}.csv", "/project/include/crm/{load_date}.csv"),
        ("/data/{load_date}.csv", "/data/{load_date}.csv"),
        ("s3://bucket/{load_date:%Y%m%d}.csv", "s3://bucket/{load_date:%Y%m%d}.csv"),
    ],
)
def test_a_relative_path_counts_from_the_base(path: str, resolved: str) -> None:
    source = Source.model_validate({"path": path, "columns": {"email": "E-mail"}})

    assert source.resolve(Path("/project/include")) == resolved


# --- what is not hashed -------------------------------------------------------------------------------------


class HashedDefinition(AudienceDefinition):
    """A platform that gets hashes only."""

    modes: ClassVar = {"add": "add the records", "remove": "remove them"}
    connection: str = "hashed_default"


class RawDefinition(HashedDefinition):
    """A platform that takes values as they are."""

    raw_values: ClassVar[tuple[str, ...]] = ("e-mail addresses", "phone numbers")


def least(model: type[AudienceDefinition], **more: Any) -> AudienceDefinition:
    """What every definition has to say."""
    source = {"path": "crm/{load_date}.csv", "columns": {"email": "E-mail"}}
    return model.model_validate(
        {"key": "x", "platform": "p", "name": "X", "owner": "me", "source": source, **more}
    )


@pytest.mark.parametrize("more", [{}, {"allow_raw": False}])
def test_what_goes_out_raw_has_to_be_meant(more: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=r"e-mail addresses and phone numbers as they are.*'allow_raw: true'"
    ):
        least(RawDefinition, **more)

    assert least(RawDefinition, allow_raw=True).allow_raw


def test_allowing_what_never_happens_is_a_misunderstanding() -> None:
    with pytest.raises(ValueError, match="'allow_raw' has no meaning here: this platform gets hashed values"):
        least(HashedDefinition, allow_raw=True)

    assert not least(HashedDefinition).allow_raw
    assert not least(HashedDefinition, allow_raw=False).allow_raw


@pytest.mark.parametrize("given", ["maybe", 2, [], None])
def test_only_a_yes_is_a_yes(given: Any) -> None:
    with pytest.raises(ValueError, match="allow_raw"):
        least(RawDefinition, allow_raw=given)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_a_platform_sends_raw_is_what_its_definitions_say(platform: str) -> None:
    model = part_of(platform, "definition").DEFINITION

    assert bool(model.raw_values) is (platform != "digital_audience")


# --- what platforms add -------------------------------------------------------------------------------------


def test_the_first_mode_is_usual_where_a_definition_cannot_choose() -> None:
    assert least(HashedDefinition).mode == "add"


def test_a_definition_that_can_choose_its_mode_does() -> None:
    made = DigitalAudienceDefinition.model_validate(
        {"key": "x", **changed(upload={"mode": "replace", "bucket": "b"})}
    )

    assert made.mode == "replace"


TEXT_IDS = [platform for platform in PLATFORMS if platform != "digital_audience"]


def with_id(platform: str, given: Any) -> AudienceDefinition:
    model = part_of(platform, "definition").DEFINITION
    source = {"path": "crm/{load_date}.csv", "columns": {"phone": "Phone"}}
    return least(model, platform=platform, allow_raw=True, source=source, id=given)


@pytest.mark.parametrize("platform", TEXT_IDS)
@pytest.mark.parametrize("given", ["aud_01H-x", "123e4567-e89b-12d3-a456-426614174000", "7", 7])
def test_an_id_is_text_where_the_vendors_are(platform: str, given: Any) -> None:
    # YAML takes an id of digits for a number.
    assert with_id(platform, given).id == str(given)


@pytest.mark.parametrize("platform", TEXT_IDS)
@pytest.mark.parametrize("given", ["a b", "a/b", "../b", "a?b", "", "x" * 201, "{{ x }}", 5.5, True])
def test_what_cannot_stand_in_a_path_is_no_id(platform: str, given: Any) -> None:
    with pytest.raises(ValueError, match=r"\bid\b"):
        with_id(platform, given)


def test_a_definition_cannot_be_changed() -> None:
    definition = DigitalAudienceDefinition.model_validate({"key": "x", **GOOD})

    with pytest.raises(ValueError, match="frozen"):
        definition.name = "Other"
