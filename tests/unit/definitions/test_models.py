"""Fields of definitions: allowed values, and errors of invalid ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import pytest

from audience_onboarding.crm.guards import Guards
from audience_onboarding.crm.output.profiles import (
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    FileProfile,
    Identifier,
    ProfileColumn,
    SourceColumn,
)
from audience_onboarding.definitions import AudienceDefinition, read_definition
from audience_onboarding.definitions.models import Headers
from audience_onboarding.definitions.source import Columns, SourceConfig
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.platform_registry import PLATFORMS, get_platform
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from tests.unit.definitions.conftest import GOOD, REMOVE, changed, misread

Write = Callable[..., Path]
QUERY: dict[str, Any] = {"conn_id": "crm_db", "columns": {"email": "email"}}


def test_a_good_definition_is_read(write: Write) -> None:
    definition = read_definition(write(GOOD))

    assert isinstance(definition, DigitalAudienceDefinition)
    assert (definition.key, definition.name, definition.owner) == ("newsletter", "Newsletter", "crm-team")
    assert definition.schedule is not None
    assert (definition.schedule.start, definition.schedule.end) == (date(2026, 11, 16), date(2026, 11, 20))
    assert definition.activation is not None
    assert definition.activation.targets[0].duration_days == 30


def test_what_is_left_out_has_a_default(write: Write) -> None:
    definition = read_definition(write(changed(schedule=REMOVE, activation=REMOVE)))

    assert isinstance(definition, DigitalAudienceDefinition)
    assert definition.conn_id == "digital_audience_default"
    assert (definition.mode, definition.upload.aws_conn_id) == ("opt-in", "audience_s3")
    assert (definition.upload.on_second_daily_file, definition.snapshots) == ("warn", None)
    assert (definition.source.delimiter, definition.source.encoding, definition.source.phone_region) == (
        ",",
        "utf-8",
        "NL",
    )
    assert definition.wait.success_states == ("READY",)
    assert (definition.schedule, definition.activation, definition.timezone) == (None, None, "UTC")


GOOD_CHANGES: list[dict[str, Any]] = [
    {"campaign": {"id": 5}, "source__columns": {"phone": "Phone"}, "retries": 0, "tags": []},
    {"campaign": REMOVE, "id": 7, "name": "Nieuwsbrief: één & twee 客户"},
    {"campaign": {"id": 5}, "id": 7, "source__columns": {"email": "E-mail", "phone": "Phone"}},
    {
        "source__path": "s3://bucket/{load_date:%Y/%m/%d}/x.csv",
        "source__delimiter": ";",
        "source__quote": "'",
    },
    {"source__path": "one file for all days.csv", "source__delimiter": "\t", "source__encoding": "cp1252"},
    {"source__delimiter": "auto", "source__quote": "auto", "source__encoding": "auto"},
    {"source__path": "crm/{load_date}/", "source__on_missing": "skip"},
    {
        "source__path": "crm/{load_date}-*.csv.gz",
        "source__on_missing": "wait",
        "source__wait_timeout_hours": 2,
        "source__poll_interval_seconds": 30,
    },
    {"source__path": "file:///data/{load_date}.parquet", "source__format": "parquet"},
    {"source__path": "crm/{load_date}.xlsx", "source__sheet": "People"},
    {"source__path": "crm/{load_date}.xlsx", "source__sheet": 2},
    {"source": {**QUERY, "query": "SELECT email FROM crm WHERE day = :load_date -- {x}\n"}},
    {"source": {**QUERY, "query": "SELECT '" + "x" * 5000 + "'"}},
    {"source__columns": {"email": {"column": "E-mail"}}},
    {"source__columns": {"email": {"column": "E-mail", "hashed": True}, "phone": "Phone"}},
    {"source__columns": {"personal_id": "Personnummer"}},
    {"source__columns": {"aaid": "AAID", "idfa": "IDFA", "custom": "Id"}, "allow_unhashed": True},
    {"source__columns": {"postal_code": "Zip", "house_number": "No"}, "allow_unhashed": True},
    {
        "source__columns": {"postal_code": "Zip", "street": "Street", "apartment": "App"},
        "allow_unhashed": True,
    },
    {
        "output_file": {
            "hash_case": "upper",
            "strip_plus_tag": True,
            "line_ending": "lf",
            "compression": "gzip",
        }
    },
    {"output_file": {"headers": {"email": "EMAIL_SHA256", "custom": "extra"}}},
    {
        "guards": {"min_rows": 10, "max_row_drop": 0.2, "max_rejected_ratio": 1, "on_empty": "skip"},
        "rejects": {"path": "rejects"},
        "snapshots": {"path": "state"},
    },
    {
        "guards": {
            "min_rows": None,
            "max_row_drop": None,
            "min_filled_ratio": None,
            "min_rows_for_ratios": 1,
        },
        "rejects": {"path": "/var/rejects/"},
        "snapshots": {"path": "s3://ours/state", "aws_conn_id": "our_s3", "retain": 5},
    },
    {"snapshots": {"path": "state"}, "upload": {"mode": "mirror", "on_second_daily_file": "wait"}},
    {
        "rejects": {"path": "s3://ours/rejects", "aws_conn_id": "our_s3"},
        "upload": {"mode": "replace", "bucket": "b", "wait_for_earlier_loads": "uploaded"},
    },
    {"rejects": {"path": "s3://b/rejects"}, "upload": {"bucket": "b"}},
    {"rejects": {"path": "s3://ours/onboard"}, "upload": {"bucket": "b"}},
    {"upload": {"wait_for_earlier_loads": "never"}, "schedule__cron": "@daily", "schedule__end": REMOVE},
    {"upload": {"mode": "opt-out", "wait_for_earlier_loads": "never"}, "schedule__end": "2026-11-16"},
    {"schedule__timezone": REMOVE, "activation__extend": REMOVE},
    {"activation__targets__0__account": {"id": 5}},
    {"activation__targets__0__account": {"platform": "DV360"}},
]
"""Values that are allowed; values that do not influence each other share a definition."""


def test_a_definition_may_have_these_values(write: Write) -> None:
    problems = []
    for changes in GOOD_CHANGES:
        try:
            assert read_definition(write(changed(**changes))).key == "newsletter"
        except DefinitionError as error:
            problems.append(f"{changes}: {error}")
    assert not problems, "\n".join(problems)


WRONG_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": "   "}, "name"),
    ({"name": "x" * 251}, "name"),
    ({"name": 5}, "name"),
    ({"id": 0}, "id"),
    ({"id": "seven"}, "id"),
    ({"campaign": {}}, "campaign"),
    ({"campaign": {"name": "x", "id": 5}}, "campaign"),
    ({"campaign": {"nane": "x"}}, "campaign.nane"),
    ({"source__path": "{}.csv"}, "source.path"),
    ({"source__path": "{load_date"}, "source.path"),
    ({"source__path": "{load_date.week}.csv"}, "source.path"),
    ({"source__path": "{load_date[0]}.csv"}, "source.path"),
    ({"source__columns": {}}, "source.columns"),
    ({"source__columns": {"email": ""}}, "source.columns.email"),
    ({"source__columns": {"email": " "}}, "source.columns.email"),
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
    ({"source__on_missing": "hope"}, "source.on_missing"),
    ({"source__on_missing": "wait", "source__wait_timeout_hours": 0}, "source.wait_timeout_hours"),
    ({"source__on_missing": "wait", "source__poll_interval_seconds": -1}, "source.poll_interval_seconds"),
    ({"output_file": {"hash_case": "Upper"}}, "output_file.hash_case"),
    ({"output_file": {"line_ending": "\n"}}, "output_file.line_ending"),
    ({"output_file": {"compression": "zip"}}, "output_file.compression"),
    ({"output_file": {"headers": {"email": "a,b"}}}, "output_file.headers.email"),
    ({"output_file": {"headers": {"email": ""}}}, "output_file.headers.email"),
    ({"output_file": {"headers": {"mail": "E"}}}, "output_file.headers.mail"),
    ({"guards": {"min_rows": 0}}, "guards.min_rows"),
    ({"guards": {"max_row_drop": -0.1}}, "guards.max_row_drop"),
    ({"guards": {"max_invalid_ratio": float("nan")}}, "guards.max_invalid_ratio"),
    ({"guards": {"min_filled_ratio": 1.01}}, "guards.min_filled_ratio"),
    ({"guards": {"max_hash_mismatch_ratio": 2}}, "guards.max_hash_mismatch_ratio"),
    ({"guards": {"min_rows_for_ratios": 0}}, "guards.min_rows_for_ratios"),
    ({"guards": {"on_empty": "ignore"}}, "guards.on_empty"),
    ({"rejects": {}}, "rejects.path"),
    ({"snapshots": {}}, "snapshots.path"),
    ({"snapshots": {"path": "state/{load_date}"}}, "snapshots.path"),
    ({"snapshots": {"path": "sftp://host/x"}}, "snapshots.path"),
    ({"snapshots": {"path": "state", "retain": 1}}, "snapshots.retain"),
    ({"upload": {"on_second_daily_file": "never"}}, "upload.on_second_daily_file"),
    ({"rejects": {"path": "rejects/{load_date}"}}, "rejects.path"),
    ({"rejects": {"path": "{{ ds }}"}}, "rejects.path"),
    ({"rejects": {"path": "sftp://host/x"}}, "rejects.path"),
    ({"source__delimiter": ";;"}, "source.delimiter"),
    ({"source__delimiter": ""}, "source.delimiter"),
    ({"source__delimiter": "\n"}, "source.delimiter"),
    ({"source__phone_region": "nl"}, "source.phone_region"),
    ({"source__phone_region": "NLD"}, "source.phone_region"),
    ({"upload": {"wait_for_earlier_loads": "no"}}, "upload.wait_for_earlier_loads"),
    ({"upload": {"mode": "replace", "wait_for_earlier_loads": "never"}}, "upload.wait_for_earlier_loads"),
    (
        {"snapshots": {"path": "state"}, "upload": {"wait_for_earlier_loads": "never"}},
        "upload.wait_for_earlier_loads",
    ),
    ({"upload": {"memory_limit_mib": 1}}, "upload.memory_limit_mib"),
    ({"schedule__cron": "0 3 * *"}, "schedule.cron"),
    ({"schedule__cron": "0 3 * * * *"}, "schedule.cron"),
    ({"schedule__cron": "99 3 * * *"}, "schedule.cron"),
    ({"schedule__cron": "a b c d e"}, "schedule.cron"),
    ({"schedule__cron": "@fortnightly"}, "schedule.cron"),
    ({"schedule__timezone": "CEST summer"}, "schedule.timezone"),
    ({"wait": {"confirm_by": "hope"}}, "wait.confirm_by"),
    ({"wait": {"poll_interval_seconds": 0}}, "wait.poll_interval_seconds"),
    ({"wait": {"poll_interval_seconds": float("inf")}}, "wait.poll_interval_seconds"),
    ({"wait": {"timeout_hours": -1}}, "wait.timeout_hours"),
    ({"wait": {"timeout_hours": float("inf")}}, "wait.timeout_hours"),
    ({"wait": {"timeout_hours": float("nan")}}, "wait.timeout_hours"),
    ({"wait": {"timeout_hours": 1e300}}, "wait.timeout_hours"),
    ({"tags": ["x" * 101]}, "tags[0]"),
    ({"activation__targets": []}, "activation.targets"),
    ({"activation__targets__0__key": "DV 360"}, "activation.targets[0].key"),
    ({"activation__targets__0__account": {}}, "activation.targets[0].account"),
    ({"activation__targets__0__account": {"id": -1}}, "activation.targets[0].account.id"),
    ({"activation__targets__0__duration_days": 0}, "activation.targets[0].duration_days"),
    ({"activation__targets__0__timeout_hours": float("inf")}, "activation.targets[0].timeout_hours"),
    ({"activation__targets__0__segment_name": "{% raw %}"}, "activation.targets[0].segment_name"),
    ({"activation__extend": {"extend_by_days": 0}}, "activation.extend.extend_by_days"),
    ({"activation__extend": {"within_days": -1}}, "activation.extend.within_days"),
]
"""Fields with invalid values; see also wrong.py, which has one of each kind with its message."""


def test_a_wrong_definition_names_file_and_field(write: Write) -> None:
    line = r"^  newsletter\.yaml:\d+: {}: \S"
    problems = misread(write, [(changes, line.format(re.escape(field))) for changes, field in WRONG_CHANGES])
    assert not problems, "\n".join(problems)


def test_a_relative_path_counts_from_the_base() -> None:
    def resolved(path: str) -> str:
        source = SourceConfig.model_validate({"path": path, "columns": {"email": "E-mail"}})
        return source.resolve(Path("/project/include"))

    for path in ("crm/{load_date}.csv", "crm/{load_date}/", "crm/*.csv"):
        assert resolved(path) == f"/project/include/{path}"
    for path in ("/data/{load_date}.csv", "/data/{load_date}/", "s3://bucket/{load_date:%Y%m%d}.csv"):
        assert resolved(path) == path


def test_all_problems_of_a_file_are_named_at_once_with_the_names_that_were_meant(write: Write) -> None:
    wrong = changed(
        gaurds={}, source__delimeter=";", source__columns={"emial": "E"}, upload={"buckets": "b"}, xyzzy=1,
        name="", source__phone_region="nl",
    )  # fmt: skip

    with pytest.raises(DefinitionError) as caught:
        read_definition(write(wrong))

    text = str(caught.value)
    meant = {
        "gaurds": "guards",
        "source.delimeter": "delimiter",
        "source.columns.emial": "email",
        "upload.buckets": "bucket",
    }
    assert all(f"{field}: unknown field. Did you mean '{name}'?" in text for field, name in meant.items())
    assert not [line for line in text.splitlines() if "xyzzy" in line and "Did you mean" in line]
    assert all(field in text for field in ("name:", "xyzzy:", "source.phone_region:"))


# --- the source -----------------------------------------------------------------------------------------------


QUERIED = {**QUERY, "query": "SELECT 1"}
NOT_TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"source": {"columns": {"email": "E"}}}, "needs either 'path'"),
    ({"source": {**QUERIED, "path": "x.csv"}}, "needs either 'path'"),
    ({"source": {"query": "SELECT 1", "columns": {"email": "E"}}}, "'query' needs 'conn_id'"),
    ({"source__conn_id": "crm_db"}, "'conn_id' is only valid with 'query'"),
    (
        {"source": {**QUERIED, "format": "csv"}},
        "'format' is only valid with 'path'",
    ),
    (
        {"source": {**QUERIED, "on_missing": "skip", "aws_conn_id": "x"}},
        "'aws_conn_id', 'on_missing' are only valid with 'path'",
    ),
    (
        {"source": {**QUERIED, "delimiter": ","}},
        "'delimiter' is only valid for CSV files",
    ),
    (
        {"source__format": "parquet", "source__encoding": "utf-8"},
        "'encoding' is only valid for CSV files",
    ),
    ({"source__format": "csv", "source__sheet": "A"}, "'sheet' is only valid for XLSX files"),
    ({"source__wait_timeout_hours": 3}, "'wait_timeout_hours' is only valid with 'on_missing: wait'"),
    (
        {"source__on_missing": "skip", "source__poll_interval_seconds": 3},
        "'poll_interval_seconds' is only valid with",
    ),
    (
        {"source__columns": {"house_number": False}},
        "Quote the name of the column, because YAML reads it as",
    ),
    ({"source__columns": {"email": 5}}, "Quote the name of the column"),
    ({"source__columns": {"email": ["E"]}}, "or {column: name, hashed: true}"),
    ({"source__sheet": "{{ ds }}"}, "Templates are not rendered here"),
    ({"source__delimiter": "'", "source__quote": "'"}, "'delimiter' and 'quote' must differ"),
    ({"source": {**QUERY, "query": "WHERE d = '{load_date:%Y}'"}}, "Write :load_date without quotes"),
]


def test_fields_that_do_not_fit_together_are_reported(write: Write) -> None:
    problems = misread(write, [(changes, re.escape(said)) for changes, said in NOT_TOGETHER])
    assert not problems, "\n".join(problems)


def test_a_column_is_a_name_or_says_more() -> None:
    columns = {
        "email": "E-mail",
        "phone": {"column": "Phone hash", "hashed": True},
        "street": {"column": "Street"},
    }
    source = SourceConfig.model_validate({"path": "x", "columns": columns})

    assert source.columns.by_identifier() == {
        "email": "E-mail",
        "phone": SourceColumn("Phone hash", hashed=True),
        "street": "Street",
    }


def test_every_identifier_of_the_engine_can_be_mapped_and_renamed() -> None:
    names = {identifier.value for identifier in Identifier}

    assert set(Columns.model_fields) == set(Headers.model_fields) == names


def test_a_source_is_called_by_its_place() -> None:
    query = SourceConfig.model_validate({**QUERY, "query": "SELECT email FROM crm"})

    assert (query.label, query.resolve(Path("/base"))) == ("query on connection crm_db", "")
    assert SourceConfig.model_validate({"path": "x", "columns": {"email": "E"}}).label == "x"


# --- which identifiers a platform takes -----------------------------------------------------------------------


def on(platform: str, columns: dict[str, Any], **more: Any) -> AudienceDefinition:
    model = get_platform(platform).definition
    extra = {"campaign": {"id": 5}} if platform == "digital_audience" else {}
    source = {"path": "crm/{load_date}.csv", "columns": columns}
    return least(model, platform=platform, source=source, **{**extra, **more})


TAKEN = {
    "commbox": {"phone"},
    "fanfare": {"email", "phone", "custom"},
    "digital_audience": {identifier.value for identifier in Identifier},
}


def test_a_platform_takes_what_its_file_has_a_column_for() -> None:
    for platform in PLATFORMS:
        more = {"postal_code": "Z"} if platform == "digital_audience" else {}
        for identifier in (item.value for item in Identifier):
            columns = {identifier: "X", "phone": "P", **more}
            if identifier in TAKEN[platform]:
                made = on(platform, columns, allow_unhashed=True)
                assert set(made.source.columns.by_identifier()) == set(columns), (platform, identifier)
            else:
                with pytest.raises(ValueError, match=f"does not accept '{identifier}'. Allowed: .*'phone'"):
                    on(platform, columns, allow_unhashed=True)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("digital_audience", {"postal_code": "Z"}, "'postal_code' alone do not identify a person"),
    ("digital_audience", {"postal_code": "Z", "extension": "X"}, "do not identify a person"),
    ("digital_audience", {"email": "E", "house_number": "N"}, "house_number: is only valid with 'postal_code'"),
    ("digital_audience", {"street": "S"}, "street: is only valid with 'postal_code'"),
    ("digital_audience", {"custom": {"column": "X", "hashed": True}}, "columns.custom: must not be hashed"),
    ("commbox", {"phone": {"column": "X", "hashed": True}}, "columns.phone: must not be hashed"),
]  # fmt: skip


def test_columns_that_a_platform_cannot_use_are_refused() -> None:
    for platform, columns, said in REFUSED:
        with pytest.raises(ValueError, match=said):
            on(platform, columns, allow_unhashed=True)


# --- the file -------------------------------------------------------------------------------------------------


def test_the_file_is_what_the_platform_says_unless_the_definition_changes_it() -> None:
    def profile(**file: Any) -> FileProfile:
        return on("digital_audience", {"email": "E"}, **({"output_file": file} if file else {})).file_profile

    plain = {"hash_case": "lower", "strip_plus_tag": False, "line_ending": "crlf", "compression": "none"}
    assert profile() == profile(**plain) == DIGITAL_AUDIENCE_S3
    other = profile(
        hash_case="upper",
        strip_plus_tag=True,
        line_ending="lf",
        compression="gzip",
        headers={"email": "E_HASH"},
    )
    assert (other.hash_case, other.strip_plus_tag, other.line_ending) == ("upper", True, "\n")
    assert other.compression == "gzip"
    assert [column.header for column in other.columns][:2] == ["E_HASH", "phone_sha256"]


@pytest.mark.parametrize(
    ("platform", "file", "said"),
    [
        ("commbox", {"hash_case": "lower"}, "output_file.hash_case: not supported"),
        ("fanfare", {"hash_case": "upper"}, "output_file.hash_case: not supported"),
        ("fanfare", {"strip_plus_tag": True}, "output_file.strip_plus_tag: not supported"),
        (
            "fanfare",
            {"compression": "gzip"},
            "output_file.compression: not supported on this platform",
        ),
        (
            "commbox",
            {"compression": "gzip"},
            "output_file.compression: not supported on this platform",
        ),
        (
            "commbox",
            {"headers": {"email": "mail"}},
            "output_file.headers: this platform's file has no column for 'email'",
        ),
        ("fanfare", {"headers": {"email": "phone"}}, "two columns have the same header"),
    ],
)
def test_a_file_that_the_vendor_cannot_want_is_refused(
    platform: str, file: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        on(platform, {"phone": "P"}, allow_unhashed=True, output_file=file)


# --- guards and rejects ---------------------------------------------------------------------------------------


def test_null_is_off_and_left_out_is_not() -> None:
    assert least(HashedDefinition).guards == Guards()
    off = least(HashedDefinition, guards={"max_row_drop": None, "min_rows": None}).guards
    other = least(HashedDefinition, guards={"max_rejected_ratio": 0.1}).guards

    assert (off.max_row_drop, off.min_rows, off.max_rejected_ratio) == (None, None, 0.3)
    assert (other.row_drop_limit("mirror"), other.min_rows, other.max_rejected_ratio) == (0.5, 1, 0.1)
    assert (off.row_drop_limit("mirror"), other.row_drop_limit("opt-in")) == (None, None)
    assert least(HashedDefinition, guards={"max_row_drop": 0.5}).guards.max_row_drop == 0.5


def test_each_audience_has_a_folder_of_rejects_and_of_snapshots() -> None:
    for path, folder in {
        "rejects": "/project/include/rejects/x",
        "rejects/": "/project/include/rejects/x",
        "/var/rejects": "/var/rejects/x",
        "../build/rejects": "/project/build/rejects/x",
        "s3://ours/rejects/": "s3://ours/rejects/x",
        "s3://ours": "s3://ours/x",
        "s3://ours/a/../b": "s3://ours/a/../b/x",
    }.items():
        rejects = least(HashedDefinition, rejects={"path": path}).rejects
        assert rejects is not None
        assert rejects.folder(Path("/project/include"), "x") == folder

    made = DigitalAudienceDefinition.model_validate(
        {"key": "x", **changed(snapshots={"path": "s3://ours/state/"}, upload={"mode": "mirror"})}
    )
    assert made.snapshots is not None
    assert (made.snapshots.folder(Path("/p"), "x"), made.snapshots.retain) == ("s3://ours/state/x", 2)
    assert list(made.allowed_modes) == ["opt-in", "opt-out", "replace", "mirror"]


def test_a_mirror_needs_a_folder_of_snapshots(write: Write) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(write(changed(upload={"mode": "mirror"})))

    assert (
        "upload.mode: 'mirror' on digital_audience needs 'snapshots', a folder for snapshots of the audience. "
        "Without it, allowed: 'opt-in', 'opt-out', 'replace'"
    ) in str(caught.value)
    made = read_definition(write(changed()))
    assert list(made.allowed_modes) == ["opt-in", "opt-out", "replace"]


def test_neither_snapshots_nor_rejects_lie_where_the_vendor_reads(write: Write) -> None:
    for name, path in (
        ("snapshots", "s3://b/onboard/x"),
        ("rejects", "s3://b/onboard"),
        ("rejects", "s3://b/onboard/audience=7/"),
        ("rejects", "s3://b//onboard/x"),
    ):
        given = changed(**{name: {"path": path}, "upload": {"bucket": "b"}})
        with pytest.raises(DefinitionError, match=rf"{name}\.path: the vendor reads onboard/ in this bucket"):
            read_definition(write(given))

    # The audience's own folder counts as well.
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
    conn_id: str = "hashed_default"


class RawDefinition(HashedDefinition):
    """A platform that takes values as they are."""

    profile: ClassVar[FileProfile] = FANFARE_IMPORT


def least(model: type[AudienceDefinition], **more: Any) -> AudienceDefinition:
    """What every definition has to say."""
    source = {"path": "crm/{load_date}.csv", "columns": {"email": "E-mail"}}
    return model.model_validate(
        {"key": "x", "platform": "p", "name": "X", "owner": "me", "source": source, **more}
    )


def test_raw_values_have_to_be_allowed() -> None:
    source = {"path": "x", "columns": {"email": "E-mail", "phone": "Phone"}}
    both = r"allow_unhashed: required, because this platform receives 'email', 'phone' unhashed"
    for more in ({}, {"allow_unhashed": False}):
        with pytest.raises(ValueError, match=both):
            least(RawDefinition, source=source, **more)
        with pytest.raises(ValueError, match="this platform receives 'email' unhashed"):
            least(RawDefinition, **more)
    for given in ("maybe", 2, [], None):
        with pytest.raises(ValueError, match="allow_unhashed"):
            least(RawDefinition, allow_unhashed=given)

    assert least(RawDefinition, allow_unhashed=True).allow_unhashed


def test_allowing_what_never_happens_is_a_misunderstanding() -> None:
    with pytest.raises(
        ValueError, match="allow_unhashed: not applicable, because all identifiers are sent hashed"
    ):
        least(HashedDefinition, allow_unhashed=True)

    assert not least(HashedDefinition).allow_unhashed
    assert not least(HashedDefinition, allow_unhashed=False).allow_unhashed


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"postal_code": "Z", "house_number": "N"}, "receives 'postal_code', 'house_number' unhashed"),
        ({"email": "E", "custom": "C"}, "receives 'custom' unhashed"),
    ],
)
def test_where_some_is_hashed_and_some_is_not_it_is_what_is_mapped_that_counts(
    columns: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        on("digital_audience", columns)

    assert on("digital_audience", columns, allow_unhashed=True).allow_unhashed
    with pytest.raises(ValueError, match="not applicable"):
        on("digital_audience", {"email": "E", "personal_id": "P"}, allow_unhashed=True)


def test_the_first_mode_is_usual_unless_a_definition_chooses_one() -> None:
    assert least(HashedDefinition).mode == "add"
    chosen = changed(upload={"mode": "replace", "bucket": "b"})
    assert DigitalAudienceDefinition.model_validate({"key": "x", **chosen}).mode == "replace"


@pytest.mark.parametrize("platform", [platform for platform in PLATFORMS if platform != "digital_audience"])
def test_an_id_is_text_that_can_stand_in_a_path(platform: str) -> None:
    def with_id(given: Any) -> AudienceDefinition:
        return on(platform, {"phone": "Phone"}, allow_unhashed=True, id=given)

    # YAML takes an id of digits for a number.
    for given in ("aud_01H-x", "123e4567-e89b-12d3-a456-426614174000", "7", 7):
        assert with_id(given).id == str(given)
    for given in ("a b", "a/b", "../b", "a?b", "", "x" * 201, "{{ x }}", 5.5, True):
        with pytest.raises(ValueError, match=r"\bid\b"):
            with_id(given)


def test_a_definition_cannot_be_changed() -> None:
    definition = DigitalAudienceDefinition.model_validate({"key": "x", **GOOD})

    with pytest.raises(ValueError, match="frozen"):
        definition.name = "Other"


def test_the_folder_of_the_files_that_a_run_may_name() -> None:
    def folder(**source: Any) -> str:
        config = SourceConfig.model_validate({"columns": {"email": "E"}, **source})
        return config.resolve_override_folder(Path("/project/include"))

    for path, expected in {
        "crm/{load_date}.csv": "/project/include/crm/",
        "x.csv": "/project/include/",
        "exports/{load_date}/": "/project/include/exports/",
        "/data/crm/a*/{load_date}.csv": "/data/crm/",
        "file:///data/crm/x.csv": "file:///data/crm/",
        "s3://b/crm/{load_date}.csv": "s3://b/crm/",
        "s3://b/{load_date}.csv": "s3://b/",
        "/{load_date}.csv": "",
    }.items():
        assert folder(path=path) == expected
    query = {"query": "SELECT email AS E FROM crm", "conn_id": "crm_db"}
    assert folder(**query) == ""
    assert folder(**query, override_folder="manual") == "/project/include/manual"
    assert folder(path="x.csv", override_folder="s3://b/manual/") == "s3://b/manual/"
