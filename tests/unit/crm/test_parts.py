"""A load as several files, and the files of the platforms that take values as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.output.profiles import (
    COMMBOX_AUDIENCE,
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    FileProfile,
    Identifier,
    ProfileColumn,
)
from audience_onboarding.crm.prepare import CsvSource, FilePart, PreparedLoad, prepare
from audience_onboarding.exceptions import ConfigurationError
from tests.unit.crm.loads import BOTH, load

PHONE = {Identifier.PHONE: "phone"}
HEADER = b"email,phone\r\n"
LINE = b"anna0000@example.com,+31612340000\r\n"
COUNT = 25


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedLoad]:
    """A load of 25 lines of one length."""
    path = tmp_path_factory.mktemp("crm") / "source.csv"
    rows = "".join(f"anna{number:04}@example.com,061234{number:04}\n" for number in range(COUNT))
    path.write_text(f"email,phone\n{rows}")
    with prepare(
        CsvSource(path, block_size=1), columns=BOTH, profile=FANFARE_IMPORT, memory_limit_mib=256, threads=1
    ) as made:
        yield made


def parts_of(prepared: PreparedLoad, **limits: int) -> list[FilePart]:
    return list(prepared.parts(**{"max_rows": 1_000, "max_bytes": 1_000_000, **limits}))


def whole(prepared: PreparedLoad) -> bytes:
    return b"".join(prepared.chunks(1_000))


# --- parts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_rows", "rows"),
    [
        (1, [1] * 25),
        (2, [2] * 12 + [1]),
        (24, [24, 1]),
        (25, [25]),
        (26, [25]),
        (5, [5] * 5),
    ],
)
def test_parts_max_rows_limits_rows(prepared: PreparedLoad, max_rows: int, rows: list[int]) -> None:
    parts = parts_of(prepared, max_rows=max_rows)

    assert [part.rows for part in parts] == rows
    assert [part.number for part in parts] == list(range(1, len(rows) + 1))
    assert [part.body.count(b"\r\n") - 1 for part in parts] == rows


@pytest.mark.parametrize("rows_that_fit", [1, 2, 7, 25])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_parts_max_bytes_are_as_long_as_possible(
    prepared: PreparedLoad, rows_that_fit: int, more: int
) -> None:
    limit = len(HEADER) + rows_that_fit * len(LINE) + more

    parts = parts_of(prepared, max_bytes=limit)

    fits = max(1, rows_that_fit if more >= 0 else rows_that_fit - 1)
    assert [part.rows for part in parts[:-1]] == [fits] * (len(parts) - 1)
    assert all(len(part.body) <= limit or part.rows == 1 for part in parts)
    assert sum(part.rows for part in parts) == COUNT


def test_parts_two_limits_apply_the_first_reached(prepared: PreparedLoad) -> None:
    for_three = len(HEADER) + 3 * len(LINE)

    assert [part.rows for part in parts_of(prepared, max_rows=2, max_bytes=for_three)] == [*[2] * 12, 1]
    assert [part.rows for part in parts_of(prepared, max_rows=4, max_bytes=for_three)] == [*[3] * 8, 1]


def test_parts_row_above_limit_is_a_part(prepared: PreparedLoad) -> None:
    parts = parts_of(prepared, max_bytes=1)

    assert [part.rows for part in parts] == [1] * COUNT


@given(max_rows=st.integers(1, 30), max_bytes=st.integers(1, len(HEADER) + 30 * len(LINE)))
def test_parts_joined_equal_the_file(prepared: PreparedLoad, max_rows: int, max_bytes: int) -> None:
    parts = parts_of(prepared, max_rows=max_rows, max_bytes=max_bytes)

    # The retry of a task divides the load as the first try did.
    assert parts == parts_of(prepared, max_rows=max_rows, max_bytes=max_bytes)
    assert all(part.body.startswith(HEADER) for part in parts)
    assert HEADER + b"".join(part.body.removeprefix(HEADER) for part in parts) == whole(prepared)
    assert all(part.rows >= 1 for part in parts)


def test_parts_iterated_are_encoded_lazily(prepared: PreparedLoad, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    lines = type(prepared.encoder).lines

    def counted(encoder: CsvEncoder, frame: pl.DataFrame) -> bytes:
        made.append(frame.height)
        return lines(encoder, frame)

    monkeypatch.setattr(CsvEncoder, "lines", counted)
    assert len(prepared.store) == COUNT  # the source was read in blocks of one row
    next(prepared.parts(max_rows=2, max_bytes=1_000_000))

    assert sum(made) < COUNT


@pytest.mark.parametrize("limits", [{"max_rows": 0}, {"max_rows": -1}, {"max_bytes": 0}])
def test_parts_limit_below_one_raises(prepared: PreparedLoad, limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        parts_of(prepared, **limits)


def test_parts_repr_has_no_personal_data(prepared: PreparedLoad) -> None:
    part = parts_of(prepared)[0]

    assert repr(part) == f"FilePart(number=1, rows={COUNT})"
    assert "anna" not in repr([part])


def test_parts_after_close_raises(tmp_path: Path) -> None:
    path = tmp_path / "source.csv"
    path.write_text("email,phone\nanna@example.com,\n")
    with prepare(CsvSource(path), columns=BOTH, profile=FANFARE_IMPORT, memory_limit_mib=128) as made:
        pass

    with pytest.raises(RuntimeError, match="with block"):
        parts_of(made)


# --- the files of the platforms -----------------------------------------------------------------------------

ROWS = "email,phone\n" + "\n".join(
    [
        " Anna@Example.COM ,06 1234 5678",
        "bo@example.com,",
        ",+44 20 7983 2100",
        "anna@example.com,+31612345678",
        "nonsense,nonsense",
        "cy@example.com,nonsense",
        "o'brien@example.com,0031 (0)20 123 4567",
    ]
)


def report_and_file(
    tmp_path: Path, profile: FileProfile, columns: dict[Identifier, str], rows: str = ROWS
) -> tuple[Any, bytes]:
    return load(tmp_path / "source.csv", rows.encode(), columns=columns, profile=profile)


def test_fanfare_file_all_columns_has_unhashed_values(tmp_path: Path) -> None:
    report, content = report_and_file(tmp_path, FANFARE_IMPORT, BOTH)

    # Addresses in lower case and without spaces, numbers in E.164 with the plus; missing values stay empty.
    assert content.decode().split("\r\n") == [
        "email,phone",
        "anna@example.com,+31612345678",
        "bo@example.com,",
        ",+442079832100",
        "cy@example.com,",
        "o'brien@example.com,+31201234567",
        "",
    ]
    assert (report.rows_read, report.rows_sent, report.duplicates, report.rejected) == (7, 5, 1, 1)


@pytest.mark.parametrize(
    ("identifier", "header"), [(Identifier.EMAIL, b"email"), (Identifier.PHONE, b"phone")]
)
def test_fanfare_file_mapped_columns_only_are_sent(
    tmp_path: Path, identifier: Identifier, header: bytes
) -> None:
    _, content = report_and_file(tmp_path, FANFARE_IMPORT, {identifier: identifier.value})

    assert content.splitlines()[0] == header
    assert b"," not in content


def test_commbox_file_phones_has_one_column(tmp_path: Path) -> None:
    report, content = report_and_file(tmp_path, COMMBOX_AUDIENCE, PHONE)

    # Full country code, digits only, no plus: as in the example of the vendor's page.
    assert content == b"phone1\r\n31612345678\r\n442079832100\r\n31201234567\r\n"
    assert (report.rows_read, report.rows_sent, report.duplicates) == (7, 3, 1)


def test_commbox_file_email_mapped_raises(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="The file commbox_audience has no column for email"):
        report_and_file(tmp_path, COMMBOX_AUDIENCE, BOTH)


@pytest.mark.parametrize("profile", [FANFARE_IMPORT, COMMBOX_AUDIENCE])
def test_profiles_of_unhashed_files_transform_no_value(profile: FileProfile) -> None:
    assert {column.transform for column in profile.columns} == {"raw"}
    assert (profile.delimiter, profile.line_ending, profile.encoding) == (",", "\r\n", "utf-8")


def test_profile_of_digital_audience_hashes_contact_data() -> None:
    hashed = {column.identifier for column in DIGITAL_AUDIENCE_S3.columns if column.transform == "sha256"}
    assert hashed == {Identifier.EMAIL, Identifier.PHONE, Identifier.PERSONAL_ID}


# --- a prefix -----------------------------------------------------------------------------------------------


def with_prefix(prefix: str, identifier: Identifier = Identifier.PHONE, **more: Any) -> FileProfile:
    return FileProfile(name="p", columns=(ProfileColumn(identifier, "h", "raw", prefix=prefix),), **more)


@pytest.mark.parametrize("prefix", ["", "+", "00", "tel:", "'; DROP TABLE sent; --"])
def test_prefix_set_precedes_values_and_not_keys(tmp_path: Path, prefix: str) -> None:
    report, content = report_and_file(tmp_path, with_prefix(prefix), PHONE)

    assert content.decode().split("\r\n") == [
        "h",
        f"{prefix}31612345678",
        f"{prefix}442079832100",
        f"{prefix}31201234567",
        "",
    ]
    # Duplicates are found by the value.
    assert report.duplicates == 1


def test_prefix_quoted_value_is_inside_quotes(tmp_path: Path) -> None:
    profile = with_prefix("x:", Identifier.EMAIL, delimiter="@")

    _, content = report_and_file(tmp_path, profile, {Identifier.EMAIL: "email"}, "email\nbo@example.com\n")

    assert content == b'h\r\n"x:bo@example.com"\r\n'


def test_prefix_on_hash_column_raises() -> None:
    with pytest.raises(ValueError, match="has no prefix"):
        ProfileColumn(Identifier.PHONE, "h", "sha256", prefix="+")
