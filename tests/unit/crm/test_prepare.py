from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.crm import blocks
from audience_onboarding.crm import prepare as engine
from audience_onboarding.crm.identifiers.normalize import sha256_hex
from audience_onboarding.crm.output.profiles import (
    DIGITAL_AUDIENCE_S3,
    FANFARE_IMPORT,
    FileProfile,
    Identifier,
    ProfileColumn,
    SourceColumn,
)
from audience_onboarding.crm.prepare import CsvSource, Progress, prepare
from audience_onboarding.crm.runtime import dedupe
from audience_onboarding.crm.runtime.frame_store import FrameStore
from audience_onboarding.exceptions import (
    AccountingError,
    ConfigurationError,
    EmptySourceError,
    TerminalError,
)
from tests.unit.crm.identifiers.test_vectorized import EMAILS, PHONES
from tests.unit.crm.loads import BOTH, content, expected, load
from tests.unit.crm.malformed.check import error_texts, leaks

CANARY_EMAIL = "canary.jan.de.vries@secret.example"
CANARY_PHONE = "0687654321"

STEPS = [(engine._LoadRun, "_dedupe"), (engine._LoadRun, "_compute_content_id")]


def as_csv(rows: list[tuple[str, str]], **style: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, **style)
    writer.writerow(["email", "phone"])
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crm.csv"


# --- values, rows, counts


def test_prepare_file_has_the_vendors_format(path: Path) -> None:
    report, output = load(path, content("John.Sam@MAIL.COM,06-14123456", "b@x.example,", ",+31 20 1234567"))
    assert output.decode() == (
        "email_sha256,phone_sha256\r\n"
        "a7df77a9db89b44110c704b680a24978579a3069b419db95cbda84541094adba,"
        "5253828bf4b74309f76c1b1b3fc379584d9dc139874764d5d134e6c0fc7235aa\r\n"
        f"{sha256_hex('b@x.example')},\r\n"
        ",b023cdb5a0ff837a0dbfeb1daf04dbfa579ab4671be14b56649d594996624d96\r\n"
    )
    assert (report.rows_read, report.rows_sent) == (3, 3)
    assert report.values_sent == report.values_read == {"email": 2, "phone": 2}
    json.dumps(report.to_dict())


def test_prepare_duplicates_keep_the_first_row(path: Path) -> None:
    report, output = load(
        path,
        content(
            "b@x.example,0612345678",
            "a@x.example,",
            " B@X.example,+31 6 12345678",  # the first row again
            "a@x.example,0612345678",  # other identifiers: not the same row
            "A@x.example,nonsense",  # the second row again; its bad phone is not in the file
        ),
    )
    assert (report.rows_read, report.rows_sent, report.duplicates, report.rejected) == (5, 3, 2, 0)
    assert report.invalid_values == {"phone": {"invalid_phone": 1}}
    assert [line.split(b",")[0].decode() for line in output.split(b"\r\n")[1:4]] == [
        sha256_hex("b@x.example"),
        sha256_hex("a@x.example"),
        sha256_hex("a@x.example"),
    ]


def test_prepare_rejected_rows_have_one_reason_each(path: Path) -> None:
    hashed = "a" * 64
    report, output = load(
        path,
        content(
            "a@x.example,",
            ",",
            " ,\u200b",
            "bad,bad",
            "bad,",
            ",bad",
            f"{hashed},bad",
            f"bad,{hashed}",
            f",{hashed.upper()}",
            "one field",
        ),
    )
    assert report.rejected_by_reason == {
        "no_identifier": 2,
        "invalid_email": 3,
        "invalid_phone": 1,
        "already_hashed": 2,
        "malformed_row": 1,
    }
    assert report.rows_read == 1 + report.rejected == 10
    assert hashed.encode() not in output.lower()


def test_prepare_invalid_fields_of_sent_rows_are_empty_and_counted(path: Path) -> None:
    report, output = load(
        path,
        content("a@x.example,bad", "b@x.example," + "0" * 64, "bad,0612345678", f"{'f' * 64},0612345679"),
    )
    assert report.rows_sent == 4
    assert report.invalid_values == {
        "email": {"already_hashed": 1, "invalid_email": 1},
        "phone": {"already_hashed": 1, "invalid_phone": 1},
    }
    assert report.values_sent == {"email": 2, "phone": 2}
    assert hashlib.sha256(b"").hexdigest().encode() not in output


@given(
    rows=st.lists(st.tuples(EMAILS, PHONES), min_size=1, max_size=40),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    line_ending=st.sampled_from(["\n", "\r\n"]),
    threads=st.sampled_from([1, 2]),
)
def test_prepare_rows_equal_the_reference(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    quoting: int,
    line_ending: str,
    threads: int,
) -> None:
    # Lone surrogates cannot be in a UTF-8 file; NUL cannot be written by Python 3.10's csv.
    rows = [
        tuple(value.encode("utf-8", "replace").decode().replace("\0", "\x01") for value in row)
        for row in rows
    ]  # type: ignore[misc]
    # A good row, because a file that sends nothing is an error.
    rows.append(("good@x.example", ""))
    if any("\r" in value or "\n" in value for row in rows for value in row):
        quoting = csv.QUOTE_ALL  # minimal quoting leaves a lone carriage return bare
    data = as_csv(rows, quoting=quoting, lineterminator=line_ending)
    report, output = load(tmp_path_factory.mktemp("load") / "x.csv", data, threads=threads)
    assert (report.to_dict(), output) == expected(rows)[:2]


def test_prepare_hash_case_and_plus_tag_follow_the_profile(path: Path) -> None:
    profile = replace(DIGITAL_AUDIENCE_S3, hash_case="upper", strip_plus_tag=True)
    columns = {Identifier.EMAIL: "email"}
    _, output = load(
        path,
        content("Test+1@digitalaudience.io,", "TEST@digitalaudience.io,"),
        columns=columns,
        profile=profile,
    )
    assert output == b"email_sha256\r\n343E00121B70BC1A6EA179468F63BEED780A92122402478037B9366A677AB24A\r\n"


def test_prepare_other_profile_changes_columns_and_delimiter(path: Path) -> None:
    profile = FileProfile(
        name="other",
        columns=(
            ProfileColumn(Identifier.PHONE, "phone", "raw"),
            ProfileColumn(Identifier.EMAIL, "e;mail", "raw"),
        ),
        delimiter=";",
        line_ending="\n",
    )
    _, output = load(
        path, content("O'B@x.example,0612345678", "a@x.example,", "O'b@x.example,0612345678"), profile=profile
    )
    assert output == b'phone;"e;mail"\n31612345678;o\'b@x.example\n;a@x.example\n'


def test_prepare_unmapped_columns_are_left_out(path: Path) -> None:
    report, output = load(
        path, content("a@x.example,0612345678", ",0612345678"), columns={Identifier.PHONE: "phone"}
    )
    assert output.startswith(b"phone_sha256\r\n")
    assert report.values_sent == {"phone": 1}


def test_prepare_two_identifiers_in_one_column_are_read(path: Path) -> None:
    columns = {Identifier.EMAIL: "contact", Identifier.PHONE: "Contact"}
    report, _ = load(path, b"contact,x\na@x.example,\n0612345678,\n", columns=columns)
    assert report.values_sent == {"email": 1, "phone": 1}


def test_prepare_country_applies_to_national_numbers(path: Path) -> None:
    data = content(",0470123456", ",+31612345678")
    report, output = load(path, data, country="BE")
    assert report.values_sent["phone"] == 2
    assert sha256_hex("32470123456").encode() in output


# --- order, bytes, chunks


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_prepare_any_number_of_threads_keeps_order(path: Path, threads: int) -> None:
    """Over several blocks, which threads finish in any order."""
    rows = [f"Person.{number % 19_000}@Example.com,{'x' * 30}" for number in range(20_000)]
    lines = ["email_sha256", *(sha256_hex(f"person.{number}@example.com") for number in range(19_000))]
    text = "\n".join(["email,note", *rows, ""])

    report, output = load(
        path,
        text.encode(),
        columns={Identifier.EMAIL: "email"},
        threads=threads,
        source={"block_size": 1 << 16},
    )

    assert (report.rows_sent, report.duplicates) == (19_000, 1_000)
    assert output.decode().split("\r\n") == [*lines, ""]


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 10**6])
def test_chunks_any_size_join_to_the_file(path: Path, size: int) -> None:
    path.write_bytes(content(*(f"a{number}@x.example," for number in range(50))))
    with prepare(CsvSource(path), columns=BOTH, profile=DIGITAL_AUDIENCE_S3) as prepared:
        chunks = list(prepared.chunks(size))
        assert list(prepared.chunks(size)) == chunks
        assert all(len(chunk) == size for chunk in chunks[:-1])
        assert 0 < len(chunks[-1]) <= size
        output = b"".join(chunks)
        assert prepared.size == len(output)
        assert re.fullmatch("[0-9a-f]{64}", prepared.content_id)
        with pytest.raises(ValueError, match="at least 1"):
            next(prepared.chunks(0))


ODD = content(
    *(f"a{number}@x.example," for number in range(50)),
    *(f"a{number}@x.example,0612345678" for number in range(40)),
    *(f" A{number}@X.example ," for number in range(30)),
    "bad,bad",
    "too,many,fields",
    "",
    ",06 1234 5678",
)


def test_prepare_duplicates_in_buckets_are_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(path, ODD)
    monkeypatch.setattr(dedupe, "MIB", 1)
    find = dedupe.find_duplicates
    monkeypatch.setattr(engine, "find_duplicates", lambda *stores, budget: find(*stores, budget=500))
    assert load(path, source={"block_size": 300}) == whole


def test_prepare_equal_fingerprints_of_other_rows_are_no_duplicates(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = (pl.col("email").is_null().cast(pl.UInt64) * 0 + 7).alias("fingerprint")
    monkeypatch.setattr(blocks, "fingerprint", lambda names: alike)
    monkeypatch.setattr(engine, "ContentId", lambda encoder: mock_identity())
    report, _ = load(path, content("a@x.example,", "b@x.example,", "a@x.example,"))
    assert (report.rows_sent, report.duplicates) == (2, 1)


def mock_identity() -> Any:
    return SimpleNamespace(add=lambda prints: None, hexdigest=lambda: "0" * 64)


def identity(path: Path, data: bytes, **settings: Any) -> tuple[str, bytes]:
    path.write_bytes(data)
    arguments = {"columns": BOTH, "profile": DIGITAL_AUDIENCE_S3, **settings}
    with prepare(CsvSource(path), **arguments) as prepared:
        return prepared.content_id, b"".join(prepared.chunks(1000))


TWO = content("a@x.example,0612345678", "b@x.example,")


def test_content_id_same_bytes_is_equal(path: Path) -> None:
    # Other spellings, and a duplicate and a reject more.
    other = content("A@x.example ,+31 6 12345678", "bad,", "b@x.example,", "a@x.example,0612345678")
    assert identity(path, TWO) == identity(path, other)


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (content("b@x.example,", "a@x.example,0612345678"), {}),
        (content("a@x.example,0612345678"), {}),
        (content("a@x.example,", "b@x.example,0612345678"), {}),
        (TWO, {"columns": {Identifier.EMAIL: "email"}}),
        (TWO, {"profile": replace(DIGITAL_AUDIENCE_S3, hash_case="upper")}),
        (TWO, {"profile": replace(DIGITAL_AUDIENCE_S3, line_ending="\n")}),
        (TWO, {"profile": FANFARE_IMPORT}),
    ],
)
def test_content_id_other_bytes_differs(path: Path, data: bytes, settings: dict[str, Any]) -> None:
    (id_one, bytes_one), (id_other, bytes_other) = identity(path, TWO), identity(path, data, **settings)
    assert bytes_one != bytes_other
    assert id_one != id_other


def test_content_id_other_release_is_equal(path: Path) -> None:
    """If it changes, a day that was sent before is a conflict after an update: raise the layout's version."""
    assert identity(path, TWO)[0] == "460245df1b1e8c904d49b458431e989f9bc023cf09cca91a0b796631c4d8820a"


def test_content_id_swapped_values_differs(path: Path) -> None:
    profile = replace(DIGITAL_AUDIENCE_S3, identified_by=(frozenset([Identifier.CUSTOM]),))
    columns = {Identifier.CUSTOM: "email", Identifier.STREET: "phone", Identifier.POSTAL_CODE: "zip"}
    one = identity(path, b"email,phone,zip\nx,y,z\n", profile=profile, columns=columns)
    other = identity(path, b"email,phone,zip\ny,x,z\n", profile=profile, columns=columns)
    assert one[0] != other[0]


def test_prepare_compressed_file_has_the_same_content(path: Path) -> None:
    packed = replace(DIGITAL_AUDIENCE_S3, compression="gzip")
    one, two = identity(path, TWO, profile=packed), identity(path, TWO, profile=packed)
    assert gzip.decompress(one[1]) == identity(path, TWO)[1]
    assert one == two


def test_report_unusable_values_count_all_rows(path: Path) -> None:
    report, _ = load(path, content("bad,0612345678", "bad,", "a@x.example,bad"))
    assert report.invalid_values == {"email": {"invalid_email": 1}, "phone": {"invalid_phone": 1}}
    assert report.unusable_values == {"email": {"invalid_email": 2}, "phone": {"invalid_phone": 1}}


def test_progress_is_reported_while_reading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PROGRESS_SECONDS", 0.0)
    reports: list[Progress] = []
    load(path, ODD, source={"block_size": 300}, progress=reports.append)
    assert reports[-1].rows == 123
    assert [each.rows for each in reports] == sorted(each.rows for each in reports)
    assert len(reports) > 3


# --- hashes -------------------------------------------------------------------------------------------------


def test_prepare_hashed_column_is_passed_on(path: Path) -> None:
    known = sha256_hex("a@x.example")
    columns = {Identifier.EMAIL: SourceColumn("email", hashed=True), Identifier.PHONE: "phone"}
    report, output = load(
        path,
        content(f"{known.upper()},", "raw@x.example,0612345678", f"{sha256_hex('')},", f"{known},"),
        columns=columns,
    )
    assert (report.rows_sent, report.duplicates, report.hash_mismatches) == (2, 1, 1)
    assert report.rejected_by_reason == {"hash_of_nothing": 1}
    assert report.invalid_values == {"email": {"not_hashed": 1}}
    assert output.split(b"\r\n")[1] == known.encode() + b","


def test_prepare_hashed_column_for_unhashed_file_raises(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot hold hashes"):
        load(
            path,
            content("a@x.example,"),
            columns={Identifier.EMAIL: SourceColumn("email", hashed=True)},
            profile=FANFARE_IMPORT,
        )


# --- addresses ----------------------------------------------------------------------------------------------

ADDRESS = {
    Identifier.EMAIL: "email",
    Identifier.POSTAL_CODE: "zip",
    Identifier.HOUSE_NUMBER: "nr",
    Identifier.EXTENSION: "ext",
}


def test_prepare_address_needs_postal_code_and_house_number(path: Path) -> None:
    report, output = load(
        path,
        b"email,zip,nr,ext\n"
        b",1234 AB,5,a\n"  # an address
        b",1234 AB,,a\n"  # a neighbourhood
        b",,5,a\n"  # nothing
        b"a@x.example,,5,\n",  # a person; the number has no meaning
        columns=ADDRESS,
    )
    assert report.rows_sent == 2
    assert report.rejected_by_reason == {"no_identifier": 1, "no_postal_code": 1}
    assert report.invalid_values == {"house_number": {"no_postal_code": 1}}
    assert output.split(b"\r\n")[0] == b"email_sha256,postal code,house number,extension"
    assert output.split(b"\r\n")[2] == sha256_hex("a@x.example").encode() + b",,,"


def test_prepare_columns_without_identifier_raise(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No mapped column is an identifier"):
        load(path, content("a,b"), columns={Identifier.POSTAL_CODE: "email"})


@pytest.mark.parametrize("value", ["a,b", 'a"b', "a;b", " a", "plain", "é"])
def test_size_is_known_before_encoding(path: Path, value: str) -> None:
    quoted = value.replace('"', '""')
    path.write_text(f'email,zip,nr,ext\n,1234 AB,5,"{quoted}"\na@x.example,,,\n', encoding="utf-8")
    with prepare(CsvSource(path), columns=ADDRESS, profile=DIGITAL_AUDIENCE_S3) as prepared:
        assert prepared.size == len(b"".join(prepared.chunks(10)))


def test_chunks_overlapping_iterations_are_equal(path: Path) -> None:
    path.write_bytes(content("a@x.example,", "b@x.example,"))
    with prepare(CsvSource(path), columns=BOTH, profile=DIGITAL_AUDIENCE_S3) as prepared:
        pairs = list(zip(prepared.chunks(10), prepared.chunks(10), strict=True))
        assert all(one == other for one, other in pairs)


def test_chunks_after_context_raises(path: Path) -> None:
    path.write_bytes(content("a@x.example,"))
    with prepare(CsvSource(path), columns=BOTH, profile=DIGITAL_AUDIENCE_S3) as prepared:
        pass
    with pytest.raises(RuntimeError, match="with block"):
        list(prepared.chunks(10))


# --- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": {}}, "no column"),
        ({"country": "Netherlands"}, "country"),
        ({"country": "nl"}, "country"),
        ({"memory_limit_mib": 64}, "128 MiB"),
        ({"threads": 0}, "one thread"),
        ({"profile": replace(DIGITAL_AUDIENCE_S3, columns=DIGITAL_AUDIENCE_S3.columns[:1])}, "phone"),
    ],
)
def test_prepare_invalid_settings_raise(path: Path, settings: dict[str, Any], message: str) -> None:
    path.write_bytes(content("a@x.example,"))
    arguments = {"columns": BOTH, "profile": DIGITAL_AUDIENCE_S3, **settings}
    with pytest.raises(ConfigurationError, match=message), prepare(CsvSource(path), **arguments):
        pass


def test_prepare_all_rejected_error_lists_reasons(path: Path) -> None:
    with pytest.raises(EmptySourceError, match="all 3 rows were rejected: invalid_email 2, no_identifier 1"):
        load(path, content("x,", "y,", ","))


def test_prepare_missing_rows_raise(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = engine._LoadRun._store

    def lose_one(load: engine._LoadRun, result: blocks.BlockResult) -> None:
        result.values = result.values.head(1)
        store(load, result)

    monkeypatch.setattr(engine._LoadRun, "_store", lose_one)
    with pytest.raises(AccountingError, match="1 of 2"):
        load(path, content("a@x.example,", "b@x.example,"))


def test_chunks_missing_bytes_raise(path: Path) -> None:
    path.write_bytes(content("a@x.example,", "b@x.example,"))
    with prepare(CsvSource(path), columns=BOTH, profile=DIGITAL_AUDIENCE_S3) as prepared:
        prepared._dropped[0] = pl.Series([0], dtype=pl.UInt32)
        with pytest.raises(AccountingError, match="Encoded bytes differ"):
            list(prepared.chunks(100))


# --- personal data


@pytest.mark.parametrize("raised", [pl.exceptions.ComputeError, pl.exceptions.PanicException])
@pytest.mark.parametrize(("owner", "step"), [(blocks.BlockProcessor, "process"), *STEPS])
def test_prepare_polars_error_is_withheld(
    path: Path, raised: type[BaseException], owner: type, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised(f"could not read {CANARY_EMAIL}")

    monkeypatch.setattr(owner, step, fail)
    # The traceback has the source line of the call.
    data = content(f"{CANARY_EMAIL},{CANARY_PHONE}")
    with pytest.raises(TerminalError) as caught:
        load(path, data)
    assert leaks(error_texts(caught.value), [CANARY_PHONE]) == []


def test_prepare_full_disk_raises(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(engine, "FrameStore", lambda *arguments, budget: FrameStore(*arguments, budget=0))
    monkeypatch.setattr(pl.DataFrame, "write_ipc", full)
    with pytest.raises(ConfigurationError, match="No space left for the spill files") as caught:
        load(path, content("a@x.example,"))
    assert caught.value.__context__ is None


def test_prepared_load_repr_has_no_personal_data(path: Path) -> None:
    path.write_bytes(content(f"{CANARY_EMAIL},{CANARY_PHONE}"))
    with prepare(CsvSource(path), columns=BOTH, profile=DIGITAL_AUDIENCE_S3) as prepared:
        assert "canary" not in repr(prepared) + repr(prepared.report) + repr(vars(prepared))
        assert "canary" not in b"".join(prepared.chunks(100)).decode()


# --- the private directory


@pytest.fixture
def spill(tmp_path: Path) -> Path:
    directory = tmp_path / "spill"
    directory.mkdir()
    return directory


def test_private_directory_error_of_caller_is_removed(path: Path, spill: Path) -> None:
    path.write_bytes(content("a@x.example,"))
    with (
        pytest.raises(ZeroDivisionError),
        prepare(CsvSource(path), columns=BOTH, profile=DIGITAL_AUDIENCE_S3, spill_dir=spill),
    ):
        raise ZeroDivisionError
    assert not list(spill.iterdir())


class Terminated(BaseException):
    """Raised by the handler of SIGTERM."""


@pytest.fixture
def sigterm_raises() -> Iterator[None]:
    def handler(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("sigterm_raises")
@pytest.mark.parametrize(("owner", "step"), [(blocks.BlockProcessor, "_reference_result"), *STEPS])
def test_private_directory_sigterm_is_removed(
    path: Path, spill: Path, owner: type, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets the exception of the handler, in any thread."""
    original = getattr(owner, step)

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(owner, step, interrupted)
    with pytest.raises(Terminated):
        load(path, content("odd é@x.example,"), spill_dir=spill)
    assert not list(spill.iterdir())
