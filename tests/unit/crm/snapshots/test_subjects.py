"""Hashes of people: parsing, the file that removes them, and the snapshots without them."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from audience_onboarding.crm.output.encoder import CsvEncoder
from audience_onboarding.crm.output.profiles import (
    COMMBOX_AUDIENCE,
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    Identifier,
)
from audience_onboarding.crm.snapshots import snapshot as snapshot_module
from audience_onboarding.crm.snapshots.snapshot import (
    count_matching_rows,
    csv_without_subjects,
    read_info,
    write_without_subjects,
)
from audience_onboarding.crm.snapshots.subjects import SubjectHashes, build_opt_out_file
from audience_onboarding.exceptions import ConfigurationError, SourceFormatError, SourceNotFoundError
from tests.unit.crm.snapshots.test_snapshot import (
    ANNA,
    BOB,
    CARL,
    HASHED,
    MIXED,
    ONE,
    PHONES,
    RAW,
    THREE,
    TWO,
    Lab,
    here,
)

__all__ = ["here"]


def sha(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def people(emails: Sequence[str] = (), phones: Sequence[str] = ()) -> SubjectHashes:
    return SubjectHashes.read(
        {Identifier.EMAIL: [sha(item) for item in emails], Identifier.PHONE: [sha(item) for item in phones]}
    )


def test_subject_hashes_either_case_are_parsed_and_hidden() -> None:
    found = SubjectHashes.read({Identifier.EMAIL: [sha(ANNA).upper(), sha(ANNA)], Identifier.PHONE: []})

    assert found.of("email") == {sha(ANNA)}
    assert found.of("phone") == found.of("custom") == frozenset()
    assert (found.count, found.counts()) == (1, {"email": 1})
    assert sha(ANNA) not in repr(found) + str(found)
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("value", [ANNA, "", sha(ANNA)[1:], sha(ANNA) + "0", "g" * 64, sha("")])
def test_subject_hashes_invalid_are_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SubjectHashes.read({Identifier.EMAIL: [sha(BOB), value]})

    assert not value or value not in str(caught.value)
    assert sha(BOB) not in str(caught.value)


def test_subject_hashes_only_keeps_selected_identifiers() -> None:
    assert people([ANNA], [ONE]).only(["phone", "custom"]).counts() == {"phone": 1}


def test_opt_out_file_hashes_get_a_row_each() -> None:
    content = build_opt_out_file(people([BOB, ANNA], [ONE]), DIGITAL_AUDIENCE_S3)

    emails = sorted([sha(ANNA), sha(BOB)])
    assert content.decode().split("\r\n") == [
        "email_sha256,phone_sha256",
        f"{emails[0]},",
        f"{emails[1]},",
        f",{sha(ONE)}",
        "",
    ]
    assert content == build_opt_out_file(people([ANNA, BOB], [ONE]), DIGITAL_AUDIENCE_S3)


def test_opt_out_file_profile_settings_are_applied() -> None:
    profile = replace(DIGITAL_AUDIENCE_S3, hash_case="upper", compression="gzip", line_ending="\n")

    content = gzip.decompress(build_opt_out_file(people(phones=[ONE]), profile))

    assert content.decode() == f"phone_sha256\n{sha(ONE).upper()}\n"


def test_opt_out_file_sandbox_accepts_it() -> None:
    from sandbox.digital_audience.files import check_file

    checked = check_file(
        iter([build_opt_out_file(people([ANNA], [ONE]), DIGITAL_AUDIENCE_S3)]), quoting="rfc4180"
    )

    assert checked.rows == 2


@pytest.mark.parametrize("encoder", [HASHED, RAW], ids=["hashed", "raw"])
def test_subjects_any_identifier_matches_and_removes_row(
    here: Lab, tmp_path: Path, encoder: CsvEncoder
) -> None:
    to = tmp_path / "b.parquet"
    path = here.snapshot(encoder, [(ANNA, ONE), (BOB, None), (None, THREE), (CARL, TWO)])

    assert count_matching_rows(path, people([ANNA, BOB], [ONE, THREE])) == 3
    assert count_matching_rows(path, people()) == 0
    assert write_without_subjects(path, people([BOB], [ONE]), to) == (4, 2)
    assert read_info(to).rows == pl.read_parquet(to).height == 2
    assert read_info(to).content_id == ""
    assert count_matching_rows(to, people([BOB], [ONE])) == 0
    assert count_matching_rows(to, people([CARL], [THREE])) == 2
    # The snapshot itself stays.
    assert read_info(path).rows == 4


def test_write_without_subjects_no_match_writes_nothing(here: Lab, tmp_path: Path) -> None:
    to = tmp_path / "b.parquet"
    path = here.snapshot(PHONES, [(ONE,), (TWO,)])

    assert write_without_subjects(path, people([ANNA], [THREE]), to) == (2, 2)
    assert not to.exists()


def test_write_without_subjects_all_match_writes_empty_snapshot(here: Lab, tmp_path: Path) -> None:
    to = tmp_path / "b.parquet"
    path = here.snapshot(PHONES, [(ONE,), (TWO,)])

    assert write_without_subjects(path, people(phones=[ONE, TWO]), to) == (2, 0)
    assert read_info(to).rows == 0


def test_write_without_subjects_large_snapshot_reads_blocks(
    here: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "_ROWS_PER_BLOCK", 3)
    to = tmp_path / "b.parquet"
    numbers = [f"316{number:08}" for number in range(10)]
    path = here.snapshot(PHONES, [(number,) for number in numbers])

    assert write_without_subjects(path, people(phones=[numbers[0], numbers[5], numbers[9]]), to) == (10, 7)
    assert pl.read_parquet(to)["phone"].to_list() == [*numbers[1:5], *numbers[6:9]]


@pytest.mark.parametrize(
    ("profile", "rows", "left"),
    [
        (COMMBOX_AUDIENCE, [(ONE,), (TWO,)], f"phone1\r\n{TWO}\r\n"),
        (FANFARE_IMPORT, [(ANNA, ONE), (BOB, TWO)], f"email,phone\r\n{BOB},+{TWO}\r\n"),
        (
            DIGITAL_AUDIENCE_S3,
            [(ANNA, ONE), (BOB, TWO)],
            f"email_sha256,phone_sha256\r\n{sha(BOB)},{sha(TWO)}\r\n",
        ),
    ],
    ids=["commbox", "fanfare", "digital_audience"],
)
def test_csv_without_subjects_equals_vendors_file(
    here: Lab, profile: Any, rows: list[Any], left: str
) -> None:
    encoder = {COMMBOX_AUDIENCE.name: PHONES, FANFARE_IMPORT.name: RAW}.get(profile.name, HASHED)
    path = here.snapshot(encoder, rows)

    assert b"".join(csv_without_subjects(path, people(phones=[ONE]), encoder)).decode() == left


def test_csv_without_subjects_other_profile_raises(here: Lab) -> None:
    path = here.snapshot(RAW, [(ANNA, ONE)])

    with pytest.raises(ConfigurationError):
        list(csv_without_subjects(path, people(phones=[ONE]), PHONES))


def test_count_matching_rows_missing_or_damaged_snapshot_raises(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        count_matching_rows(tmp_path / "none.parquet", people([ANNA]))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(SourceFormatError):
        write_without_subjects(tmp_path / "torn.parquet", people([ANNA]), tmp_path / "b.parquet")


def test_write_without_subjects_other_columns_are_unchanged(here: Lab, tmp_path: Path) -> None:
    to = tmp_path / "b.parquet"
    rows: list[Any] = [(ANNA, "1234AB", "1", None), (BOB, "1234AB", "1", None)]
    path = here.snapshot(MIXED, rows)

    # The address is no identifier that is erased by.
    assert write_without_subjects(path, people([ANNA]), to) == (2, 1)
    assert pl.read_parquet(to).row(0)[1:] == ("1234AB", "1", None)
