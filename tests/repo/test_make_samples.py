"""The committed extracts are what the script writes, and are fit for what they are for."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest

from audience_onboarding.crm.engine import CsvSource, prepare
from audience_onboarding.crm.profiles import DIGITAL_AUDIENCE_S3, Identifier
from scripts import make_samples

CRM = Path(__file__).parents[2] / "include" / "crm"
COLUMNS: dict[str, tuple[str | None, str]] = {
    "newsletter_nl": ("E-mail", "Mobile phone"),
    "loyalty_members": ("Email address", "Telephone"),
    "presale_fans": ("E-mail address", "Phone"),
    "service_alerts": (None, "WhatsApp number"),
}
FILES = [
    (extract, day, CRM / extract.name / f"{when.isoformat()}.csv")
    for extract in make_samples.EXTRACTS
    for day, when in enumerate(make_samples.DATES)
]


def test_running_it_again_gives_the_committed_files(tmp_path: Path) -> None:
    assert make_samples.main(["--out", str(tmp_path)]) == 0
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.csv")}
    assert written == {path.relative_to(CRM): path.read_bytes() for path in CRM.rglob("*.csv")}


def test_no_other_files_and_a_modest_size() -> None:
    assert {path for _, _, path in FILES} == set(CRM.rglob("*.csv"))
    assert sum(path.stat().st_size for _, _, path in FILES) < 3_000_000


def test_options(tmp_path: Path) -> None:
    options = ["--dates", "2027-01-01", "2027-01-02", "--rows", "30"]
    make_samples.main(["--out", str(tmp_path / "a"), *options])
    make_samples.main(["--out", str(tmp_path / "b"), *options, "--seed", "2"])
    first, second = sorted((tmp_path / "a" / "newsletter_nl").iterdir())
    assert (first.name, second.name) == ("2027-01-01.csv", "2027-01-02.csv")
    assert 30 <= first.read_text(encoding="utf-8").count("@") <= 40
    assert (tmp_path / "b" / "newsletter_nl" / first.name).read_bytes() != first.read_bytes()


def rows(extract: make_samples.Extract, path: Path) -> list[dict[str, str]]:
    text = io.StringIO(path.read_bytes().decode(extract.encoding), newline="")
    return list(csv.DictReader(text, delimiter=extract.delimiter))


@pytest.mark.parametrize(("extract", "day", "path"), FILES, ids=lambda value: getattr(value, "name", value))
def test_the_engine_reads_them(extract: make_samples.Extract, day: int, path: Path) -> None:
    email, phone = COLUMNS[extract.name]
    source = CsvSource(path, delimiter=extract.delimiter)
    columns = {Identifier.PHONE: phone} | ({Identifier.EMAIL: email} if email else {})
    dirt = {"invalid_phone", "no_identifier"} | ({"already_hashed", "invalid_email"} if email else set())
    with prepare(source, columns=columns, profile=DIGITAL_AUDIENCE_S3, memory_limit_mib=256) as load:
        report = load.report
    assert report.rows_read == len(rows(extract, path))
    assert report.rows_sent > (0.9 if email else 0.7) * report.rows_read
    assert report.duplicates > 0
    found = [report.rejected_by_reason, *report.invalid_values.values()]
    assert dirt <= {reason for reasons in found for reason in reasons}
    assert "malformed_row" not in report.rejected_by_reason


def test_they_hold_the_dirt_that_they_promise() -> None:
    text = "".join(path.read_text(encoding=extract.encoding) for extract, _, path in FILES)
    for dirt in (
        '"Bergen, NH"',
        '"Den Haag\n(Scheveningen)"',
        '(""Den Dolder"")',
        "\u00a0",
        "\u2011",
        "\t",
        "+32 470",
    ):
        assert dirt in text
    extract, _, path = FILES[0]
    phones = [row["Mobile phone"] for row in rows(extract, path)]
    for spelling in (r"06\d{8}", r"06-\d{8}", r"06 \d\d \d\d \d\d \d\d", r"\+31 \(0\)6 \d{8}", r"00316\d{8}", r"6\d{8}",
                     r"020-\d{7}", r"\(020\) \d{7}", r"020\\\d{7}", r"\+31\(0\)6-\d{8}", r"06/\d{8}"):  # fmt: skip
        assert any(re.fullmatch(spelling, phone) for phone in phones), spelling


def test_addresses_are_in_reserved_domains() -> None:
    with_addresses = [
        (extract, path, email)
        for extract, _, path in FILES
        if (email := COLUMNS[extract.name][0]) is not None
    ]
    for extract, path, email in with_addresses:
        for row in rows(extract, path):
            _, at, domain = row[email].replace(" ", "").strip().lower().rpartition("@")
            if at and "." in domain:
                assert re.search(r"(^|\.)(example\.(com|org|net)|example|test)$", domain), domain


def test_lists_grow_and_shrink() -> None:
    for extract in make_samples.EXTRACTS:
        days = [
            {row[extract.header[0]] for row in rows(extract, path)}
            for other, _, path in FILES
            if other == extract
        ]
        for before, after in pairwise(days):
            assert after - before
            assert before - after
    sizes = [path.stat().st_size for extract, _, path in FILES if extract.name == "loyalty_members"]
    assert sizes != sorted(sizes)
