"""What a definition may say, and how a wrong one is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.profiles import (
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    FileProfile,
    Identifier,
    ProfileColumn,
    SourceColumn,
)
from audience_onboarding.definitions import AudienceDefinition, read_definition
from audience_onboarding.definitions.models import Columns, Headers, Source
from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.errors import DefinitionError
from audience_onboarding.platforms import PLATFORMS, part_of
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

Write = Callable[..., Path]
QUERY: dict[str, Any] = {"connection": "crm_db", "columns": {"email": "email"}}


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
    assert (definition.mode, definition.upload.aws_connection) == ("opt-in", "audience_s3")
    assert (definition.upload.second_file_same_day, definition.state) == ("warn", None)
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
        {"source__delimiter": "auto", "source__quote": "auto", "source__encoding": "auto"},
        {"source__quote": "'"},
        {"source__encoding": "cp1252"},
        {"source__path": "crm/{load_date}/"},
        {"source__path": "crm/{load_date}-*.csv.gz"},
        {"source__path": "file:///data/{load_date}.parquet", "source__format": "parquet"},
        {"source__path": "crm/{load_date}.xlsx", "source__sheet": "People"},
        {"source__path": "crm/{load_date}.xlsx", "source__sheet": 2},
        {"source": {**QUERY, "query": "SELECT email FROM crm WHERE day = :load_date -- {x}\n"}},
        {"source": {**QUERY, "query": "SELECT '" + "x" * 5000 + "'"}},
        {"source__if_missing": "skip"},
        {"source__if_missing": "wait", "source__wait_hours": 2, "source__poll_seconds": 30},
        {"source__columns": {"email": {"column": "E-mail"}}},
        {"source__columns": {"email": {"column": "E-mail", "hashed": True}, "phone": "Phone"}},
        {"source__columns": {"personal_id": "Personnummer"}},
        {"source__columns": {"aaid": "AAID", "idfa": "IDFA", "custom": "Id"}, "allow_raw": True},
        {"source__columns": {"postal_code": "Zip", "house_number": "No"}, "allow_raw": True},
        {
            "source__columns": {"postal_code": "Zip", "street": "Street", "apartment": "App"},
            "allow_raw": True,
        },
        {"file": {"hash_case": "upper", "strip_plus_tag": True, "line_ending": "lf", "compression": "gzip"}},
        {"file": {"headers": {"email": "EMAIL_SHA256", "custom": "extra"}}},
        {"guards": {"min_rows": 10, "max_shrink": 0.2, "max_rejected_share": 1, "on_empty": "skip"}},
        {"guards": {"min_rows": None, "max_shrink": None, "min_filled_share": None, "shares_from_rows": 1}},
        {"rejects": {"path": "rejects"}},
        {"state": {"path": "state"}},
        {"state": {"path": "s3://ours/state", "aws_connection": "our_s3", "keep": 5}},
        {"state": {"path": "state"}, "upload": {"mode": "mirror", "second_file_same_day": "wait"}},
        {"rejects": {"path": "/var/rejects/"}},
        {"rejects": {"path": "s3://ours/rejects", "aws_connection": "our_s3"}},
        {"rejects": {"path": "s3://b/rejects"}, "upload": {"bucket": "b"}},
        {"rejects": {"path": "s3://ours/onboard"}, "upload": {"bucket": "b"}},
        {"upload": {"mode": "replace", "bucket": "b", "wait_for_earlier_loads": "uploaded"}},
        {"upload": {"wait_for_earlier_loads": "never"}},
        {"upload": {"mode": "opt-out", "wait_for_earlier_loads": "never"}},
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
        ({"campaign": REMOVE}, ""),
        ({"campaign": {}}, "campaign"),
        ({"campaign": {"name": "x", "id": 5}}, "campaign"),
        ({"campaign": {"nane": "x"}}, "campaign.nane"),
        ({"source": REMOVE}, "source"),
        ({"source__path": REMOVE}, "source"),
        ({"source__path": "{date}.csv"}, "source.path"),
        ({"source__path": "{}.csv"}, "source.path"),
        ({"source__path": "{load_date"}, "source.path"),
        ({"source__path": "{load_date.week}.csv"}, "source.path"),
        ({"source__path": "{load_date[0]}.csv"}, "source.path"),
        ({"source__columns": {}}, "source.columns"),
        ({"source__columns": {"mail": "E-mail"}}, "source.columns.mail"),
        ({"source__columns": {"email": ""}}, "source.columns.email"),
        ({"source__columns": {"email": " "}}, "source.columns.email"),
        ({"source__columns": {"email": 5}}, "source.columns.email"),
        ({"source__columns": {"email": ["E-mail"]}}, "source.columns.email"),
        ({"source__columns": {"email": {"hashed": True}}}, "source.columns.email.column"),
        ({"source__columns": {"email": {"column": "E", "hash": True}}}, "source.columns.email.hash"),
        ({"source__columns": {"email": {"column": "E", "hashed": "maybe"}}}, "source.columns.email.hashed"),
        ({"source__path": "https://example.com/x.csv"}, "source.path"),
        ({"source__path": "s3://"}, "source.path"),
        ({"source": {**QUERY, "query": "SELECT 1 WHERE day = '{load_date}'"}}, "source.query"),
        ({"source": {**QUERY, "query": "SELECT {{ ds }}"}}, "source.query"),
        ({"source": {**QUERY, "query": ""}}, "source.query"),
        ({"source__format": "json"}, "source.format"),
        ({"source__quote": "''"}, "source.quote"),
        ({"source__if_missing": "hope"}, "source.if_missing"),
        ({"source__if_missing": "wait", "source__wait_hours": 0}, "source.wait_hours"),
        ({"source__if_missing": "wait", "source__poll_seconds": -1}, "source.poll_seconds"),
        ({"file": {"hash_case": "Upper"}}, "file.hash_case"),
        ({"file": {"line_ending": "\n"}}, "file.line_ending"),
        ({"file": {"compression": "zip"}}, "file.compression"),
        ({"file": {"headers": {"email": "a,b"}}}, "file.headers.email"),
        ({"file": {"headers": {"email": ""}}}, "file.headers.email"),
        ({"file": {"headers": {"mail": "E"}}}, "file.headers.mail"),
        ({"guards": {"min_rows": 0}}, "guards.min_rows"),
        ({"guards": {"max_shrink": 50}}, "guards.max_shrink"),
        ({"guards": {"max_shrink": -0.1}}, "guards.max_shrink"),
        ({"guards": {"max_rejected_share": "30%"}}, "guards.max_rejected_share"),
        ({"guards": {"max_invalid_share": float("nan")}}, "guards.max_invalid_share"),
        ({"guards": {"min_filled_share": 1.01}}, "guards.min_filled_share"),
        ({"guards": {"max_hash_mismatch_share": 2}}, "guards.max_hash_mismatch_share"),
        ({"guards": {"shares_from_rows": 0}}, "guards.shares_from_rows"),
        ({"guards": {"on_empty": "ignore"}}, "guards.on_empty"),
        ({"rejects": {}}, "rejects.path"),
        ({"state": {}}, "state.path"),
        ({"state": {"path": "state/{load_date}"}}, "state.path"),
        ({"state": {"path": "sftp://host/x"}}, "state.path"),
        ({"state": {"path": "state", "keep": 1}}, "state.keep"),
        ({"upload": {"second_file_same_day": "never"}}, "upload.second_file_same_day"),
        ({"rejects": {"path": "rejects/{load_date}"}}, "rejects.path"),
        ({"rejects": {"path": "{{ ds }}"}}, "rejects.path"),
        ({"rejects": {"path": "sftp://host/x"}}, "rejects.path"),
        ({"source__delimiter": ";;"}, "source.delimiter"),
        ({"source__delimiter": ""}, "source.delimiter"),
        ({"source__delimiter": "\n"}, "source.delimiter"),
        ({"source__encoding": "utf8"}, "source.encoding"),
        ({"source__country": "nl"}, "source.country"),
        ({"source__country": "NLD"}, "source.country"),
        ({"upload": {"mode": "append"}}, "upload.mode"),
        ({"upload": {"wait_for_earlier_loads": "no"}}, "upload.wait_for_earlier_loads"),
        ({"upload": {"mode": "replace", "wait_for_earlier_loads": "never"}}, "upload.wait_for_earlier_loads"),
        (
            {"state": {"path": "state"}, "upload": {"wait_for_earlier_loads": "never"}},
            "upload.wait_for_earlier_loads",
        ),
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
        ({"tags": ["x" * 101]}, "tags[0]"),
        ({"tags": "crm"}, "tags"),
        ({"activation__targets": []}, "activation.targets"),
        ({"activation__targets": [GOOD["activation"]["targets"][0]] * 2}, "activation.targets"),
        ({"activation__targets__0__key": "DV 360"}, "activation.targets[0].key"),
        ({"activation__targets__0__account": {}}, "activation.targets[0].account"),
        ({"activation__targets__0__account": {"id": -1}}, "activation.targets[0].account.id"),
        ({"activation__targets__0__days": 0}, "activation.targets[0].days"),
        ({"activation__targets__0__timeout_hours": float("inf")}, "activation.targets[0].timeout_hours"),
        ({"activation__targets__0__description": REMOVE}, "activation.targets[0].description"),
        ({"name": "Our {{ ds }} list"}, "name"),
        ({"activation__targets__0__segment_name": "{% raw %}"}, "activation.targets[0].segment_name"),
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

    said = rf"{re.escape(field)}: \S" if field else r"give either|give 'campaign'"
    assert re.search(rf"^  newsletter\.yaml:\d+: ({said})", str(caught.value), re.MULTILINE)


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
        ("crm/{load_date}/", "/project/include/crm/{load_date}/"),
        ("/data/{load_date}/", "/data/{load_date}/"),
        ("crm/*.csv", "/project/include/crm/*.csv"),
    ],
)
def test_a_relative_path_counts_from_the_base(path: str, resolved: str) -> None:
    source = Source.model_validate({"path": path, "columns": {"email": "E-mail"}})

    assert source.resolve(Path("/project/include")) == resolved


def test_a_field_that_is_none_says_what_was_probably_meant(write: Write) -> None:
    typos = changed(
        gaurds={}, source__delimeter=";", source__columns={"emial": "E"}, upload={"buckets": "b"}, xyzzy=1
    )

    with pytest.raises(DefinitionError) as caught:
        read_definition(write(typos))

    problems = str(caught.value).splitlines()
    text = str(caught.value)
    for field, meant in {
        "gaurds": "guards",
        "source.delimeter": "delimiter",
        "source.columns.emial": "email",
        "upload.buckets": "bucket",
    }.items():
        assert f"{field}: no such field; did you mean '{meant}'?" in text
    assert [problem for problem in problems if "xyzzy" in problem and "did you mean" in problem] == []


# --- the source -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": {"columns": {"email": "E"}}}, "give either 'path'"),
        ({"source": {**QUERY, "path": "x.csv", "query": "SELECT 1"}}, "give either 'path'"),
        ({"source": {"query": "SELECT 1", "columns": {"email": "E"}}}, "'query' needs 'connection'"),
        ({"source__connection": "crm_db"}, "'connection' has a meaning with 'query' only"),
        (
            {"source": {**QUERY, "query": "SELECT 1", "format": "csv"}},
            "'format' has a meaning with 'path' only",
        ),
        (
            {"source": {**QUERY, "query": "SELECT 1", "if_missing": "skip", "aws_connection": "x"}},
            "'aws_connection', 'if_missing' has a meaning with 'path' only",
        ),
        (
            {"source": {**QUERY, "query": "SELECT 1", "delimiter": ","}},
            "'delimiter' has a meaning for CSV files",
        ),
        (
            {"source__format": "parquet", "source__encoding": "utf-8"},
            "'encoding' has a meaning for CSV files",
        ),
        ({"source__format": "csv", "source__sheet": "A"}, "'sheet' has a meaning for XLSX files only"),
        ({"source__wait_hours": 3}, "'wait_hours' has a meaning with 'if_missing: wait' only"),
        ({"source__if_missing": "skip", "source__poll_seconds": 3}, "'poll_seconds' has a meaning with"),
        (
            {"source__columns": {"house_number": False}},
            "put the name of the column in quotes: YAML takes it for",
        ),
        ({"source__columns": {"email": 5}}, "put the name of the column in quotes"),
        ({"source__columns": {"email": ["E"]}}, "or {column: name, hashed: true}"),
        ({"source__sheet": "{{ ds }}"}, "templates are not rendered here"),
        ({"source__delimiter": "'", "source__quote": "'"}, "'delimiter' and 'quote' are the same"),
        ({"source": {**QUERY, "query": "WHERE d = '{load_date:%Y}'"}}, "write :load_date in a query"),
    ],
    ids=repr,
)
def test_what_does_not_fit_together_is_said(write: Write, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=re.escape(said)):
        read_definition(write(changed(**changes)))


def test_a_column_is_a_name_or_says_more() -> None:
    columns = {
        "email": "E-mail",
        "phone": {"column": "Phone hash", "hashed": True},
        "street": {"column": "Street"},
    }
    source = Source.model_validate({"path": "x", "columns": columns})

    assert source.columns.by_identifier() == {
        "email": "E-mail",
        "phone": SourceColumn("Phone hash", hashed=True),
        "street": "Street",
    }


def test_every_identifier_of_the_engine_can_be_mapped_and_renamed() -> None:
    names = {identifier.value for identifier in Identifier}

    assert set(Columns.model_fields) == set(Headers.model_fields) == names


def test_a_source_is_called_by_its_place() -> None:
    query = Source.model_validate({**QUERY, "query": "SELECT email FROM crm"})

    assert (query.label, query.resolve(Path("/base"))) == ("query on connection crm_db", "")
    assert Source.model_validate({"path": "x", "columns": {"email": "E"}}).label == "x"


# --- which identifiers a platform takes -----------------------------------------------------------------------


def on(platform: str, columns: dict[str, Any], **more: Any) -> AudienceDefinition:
    model = part_of(platform, "definition").DEFINITION
    extra = {"campaign": {"id": 5}} if platform == "digital_audience" else {}
    source = {"path": "crm/{load_date}.csv", "columns": columns}
    return least(model, platform=platform, source=source, **{**extra, **more})


TAKEN = {
    "commbox": {"phone"},
    "fanfare": {"email", "phone", "custom"},
    "digital_audience": {identifier.value for identifier in Identifier},
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("identifier", sorted(identifier.value for identifier in Identifier))
def test_a_platform_takes_what_its_file_has_a_column_for(platform: str, identifier: str) -> None:
    columns = {
        identifier: "X",
        "phone": "P",
        **({"postal_code": "Z"} if platform == "digital_audience" else {}),
    }
    if identifier in TAKEN[platform]:
        assert set(on(platform, columns, allow_raw=True).source.columns.by_identifier()) == set(columns)
    else:
        with pytest.raises(ValueError, match=f"takes .*'phone'.*, and nothing else; not '{identifier}'"):
            on(platform, columns, allow_raw=True)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"postal_code": "Z"}, "'postal_code' alone identify nobody"),
        ({"postal_code": "Z", "extension": "X"}, "identify nobody"),
        ({"email": "E", "house_number": "N"}, "house_number has no meaning without 'postal_code'"),
        ({"street": "S"}, "street has no meaning without 'postal_code'"),
    ],
)
def test_an_address_needs_its_parts(columns: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        on("digital_audience", columns, allow_raw=True)


@pytest.mark.parametrize(("platform", "identifier"), [("commbox", "phone"), ("digital_audience", "custom")])
def test_what_is_sent_as_it_is_cannot_come_hashed(platform: str, identifier: str) -> None:
    with pytest.raises(ValueError, match=f"columns.{identifier}: this platform takes it as it is"):
        on(platform, {identifier: {"column": "X", "hashed": True}}, allow_raw=True)


# --- the file -------------------------------------------------------------------------------------------------


def test_without_a_word_the_file_is_what_the_platform_says() -> None:
    definition = on("digital_audience", {"email": "E"})

    assert definition.file_profile == DIGITAL_AUDIENCE_S3


def test_the_file_can_be_another_one() -> None:
    profile = on(
        "digital_audience",
        {"email": "E"},
        file={
            "hash_case": "upper",
            "strip_plus_tag": True,
            "line_ending": "lf",
            "compression": "gzip",
            "headers": {"email": "E_HASH"},
        },
    ).file_profile

    assert (profile.hash_case, profile.strip_plus_tag, profile.line_ending) == ("upper", True, "\n")
    assert profile.compression == "gzip"
    assert [column.header for column in profile.columns][:2] == ["E_HASH", "phone_sha256"]


def test_what_is_said_of_the_file_can_also_be_what_the_platform_says() -> None:
    plain = {"hash_case": "lower", "strip_plus_tag": False, "line_ending": "crlf", "compression": "none"}

    assert on("digital_audience", {"email": "E"}, file=plain).file_profile == DIGITAL_AUDIENCE_S3


@pytest.mark.parametrize(
    ("platform", "file", "said"),
    [
        ("commbox", {"hash_case": "lower"}, "file.hash_case has no meaning here"),
        ("fanfare", {"hash_case": "upper"}, "file.hash_case has no meaning here"),
        ("fanfare", {"strip_plus_tag": True}, "file.strip_plus_tag has no meaning here"),
        ("fanfare", {"compression": "gzip"}, "file.compression: this platform takes 'none'"),
        ("commbox", {"compression": "gzip"}, "file.compression: this platform takes 'none'"),
        (
            "commbox",
            {"headers": {"email": "mail"}},
            "file.headers: this platform's file has no column for 'email'",
        ),
        ("fanfare", {"headers": {"email": "phone"}}, "two columns would have the same header"),
    ],
)
def test_a_file_that_the_vendor_cannot_want_is_refused(
    platform: str, file: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        on(platform, {"phone": "P"}, allow_raw=True, file=file)


# --- guards and rejects ---------------------------------------------------------------------------------------


def test_without_a_word_the_guards_are_those_of_the_engine() -> None:
    assert least(HashedDefinition).guards.guards() == Guards()


def test_null_is_off_and_left_out_is_not() -> None:
    off = least(HashedDefinition, guards={"max_shrink": None, "min_rows": None}).guards.guards()
    other = least(HashedDefinition, guards={"max_rejected_share": 0.1}).guards.guards()

    assert (off.max_shrink, off.min_rows, off.max_rejected_share) == (None, None, 0.3)
    assert (other.max_shrink, other.min_rows, other.max_rejected_share) == ("by_mode", 1, 0.1)
    assert least(HashedDefinition, guards={"max_shrink": 0.5}).guards.guards().max_shrink == 0.5


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("rejects", "/project/include/rejects/x"),
        ("rejects/", "/project/include/rejects/x"),
        ("/var/rejects", "/var/rejects/x"),
        ("../build/rejects", "/project/build/rejects/x"),
        ("s3://ours/rejects/", "s3://ours/rejects/x"),
        ("s3://ours", "s3://ours/x"),
        ("s3://ours/a/../b", "s3://ours/a/../b/x"),
    ],
)
def test_each_audience_has_a_folder_of_rejects(path: str, folder: str) -> None:
    rejects = least(HashedDefinition, rejects={"path": path}).rejects

    assert rejects is not None
    assert rejects.folder(Path("/project/include"), "x") == folder


def test_each_audience_has_a_folder_of_snapshots() -> None:
    made = DigitalAudienceDefinition.model_validate(
        {"key": "x", **changed(state={"path": "s3://ours/state/"}, upload={"mode": "mirror"})}
    )

    assert made.state is not None
    assert (made.state.folder(Path("/p"), "x"), made.state.keep) == ("s3://ours/state/x", 2)
    assert list(made.allowed_modes) == ["opt-in", "opt-out", "replace", "mirror"]


def test_a_mirror_needs_a_folder_of_snapshots(write: Write) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(write(changed(upload={"mode": "mirror"})))

    assert (
        "upload.mode: on digital_audience, 'mirror' needs 'state', a folder for snapshots of what the audience holds; "
        "without it, allowed is 'opt-in', 'opt-out', 'replace'"
    ) in str(caught.value)
    made = read_definition(write(changed()))
    assert list(made.allowed_modes) == ["opt-in", "opt-out", "replace"]


def test_snapshots_never_lie_where_the_vendor_reads(write: Write) -> None:
    given = changed(state={"path": "s3://b/onboard/x"}, upload={"bucket": "b"})

    with pytest.raises(DefinitionError, match=r"state\.path: the vendor reads onboard/ in this bucket"):
        read_definition(write(given))


@pytest.mark.parametrize("path", ["s3://b/onboard", "s3://b/onboard/audience=7/", "s3://b//onboard/x"])
def test_rejects_never_lie_where_the_vendor_reads(write: Write, path: str) -> None:
    given = changed(rejects={"path": path}, upload={"bucket": "b"})

    with pytest.raises(DefinitionError, match=r"rejects\.path: the vendor reads onboard/"):
        read_definition(write(given))


def test_the_audiences_own_folder_counts_as_well(write: Write) -> None:
    given = changed(rejects={"path": "s3://b"}, upload={"bucket": "b"})

    assert read_definition(write(given)).rejects is not None
    with pytest.raises(DefinitionError, match=r"rejects\.path"):
        read_definition(write(given, "onboard.yaml"))


# --- what is not hashed -------------------------------------------------------------------------------------


class HashedDefinition(AudienceDefinition):
    """A platform that gets hashes only."""

    modes: ClassVar[Mapping[str, str]] = {"add": "add the records", "remove": "remove them"}
    profile: ClassVar[FileProfile] = FileProfile(
        "hashed", (ProfileColumn(Identifier.EMAIL, "email", "sha256"),)
    )
    connection: str = "hashed_default"


class RawDefinition(HashedDefinition):
    """A platform that takes values as they are."""

    profile: ClassVar[FileProfile] = FANFARE_IMPORT


def least(model: type[AudienceDefinition], **more: Any) -> AudienceDefinition:
    """What every definition has to say."""
    source = {"path": "crm/{load_date}.csv", "columns": {"email": "E-mail"}}
    return model.model_validate(
        {"key": "x", "platform": "p", "name": "X", "owner": "me", "source": source, **more}
    )


@pytest.mark.parametrize("more", [{}, {"allow_raw": False}])
def test_what_goes_out_raw_has_to_be_meant(more: dict[str, Any]) -> None:
    source = {"path": "x", "columns": {"email": "E-mail", "phone": "Phone"}}
    with pytest.raises(
        ValueError, match=r"e-mail addresses and phone numbers as they are.*'allow_raw: true'"
    ):
        least(RawDefinition, source=source, **more)
    with pytest.raises(ValueError, match="takes e-mail addresses as they are"):
        least(RawDefinition, **more)

    assert least(RawDefinition, allow_raw=True).allow_raw


def test_allowing_what_never_happens_is_a_misunderstanding() -> None:
    with pytest.raises(ValueError, match="'allow_raw' has no meaning here: all that is sent is hashed"):
        least(HashedDefinition, allow_raw=True)

    assert not least(HashedDefinition).allow_raw
    assert not least(HashedDefinition, allow_raw=False).allow_raw


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"postal_code": "Z", "house_number": "N"}, "postal codes and house numbers as they are"),
        ({"email": "E", "custom": "C"}, "takes ids of your own as they are"),
    ],
)
def test_where_some_is_hashed_and_some_is_not_it_is_what_is_mapped_that_counts(
    columns: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        on("digital_audience", columns)

    assert on("digital_audience", columns, allow_raw=True).allow_raw
    with pytest.raises(ValueError, match="no meaning here"):
        on("digital_audience", {"email": "E", "personal_id": "P"}, allow_raw=True)


@pytest.mark.parametrize("given", ["maybe", 2, [], None])
def test_only_a_yes_is_a_yes(given: Any) -> None:
    with pytest.raises(ValueError, match="allow_raw"):
        least(RawDefinition, allow_raw=given)


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
