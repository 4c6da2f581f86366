"""The committed extracts are those of the script, and have the dirt that the engine handles."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest

from audience_onboarding.crm.output.profiles import DIGITAL_AUDIENCE_S3, Identifier
from audience_onboarding.crm.prepare import CsvSource, prepare
from scripts import make_samples

CRM = Path(__file__).parents[2] / "include" / "crm"
COLUMNS: dict[str, tuple[str | None, str]] = {
    "newsletter_nl": ("E-mail", "Mobile phone"),
    "loyalty_members": ("Email address", "Telephone"),
    "presale_fans": ("E-mail address", "Phone"),
    "service_alerts": (None, "WhatsApp number"),
}
Files = dict[tuple[str, Path], list[dict[str, str]]]


@pytest.fixture(scope="module")
def files() -> Files:
    """Rows of all committed files, by the name of the extract and the path."""
    found = {}
    for extract in make_samples.EXTRACTS:
        for when in make_samples.DATES:
            path = CRM / extract.name / f"{when.isoformat()}.csv"
            text = io.StringIO(path.read_bytes().decode(extract.encoding), newline="")
            found[extract.name, path] = list(csv.DictReader(text, delimiter=extract.delimiter))
    return found


def test_running_it_again_gives_the_committed_files(tmp_path: Path, files: Files) -> None:
    assert make_samples.main(["--out", str(tmp_path)]) == 0
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.csv")}
    assert written == {path.relative_to(CRM): path.read_bytes() for path in CRM.rglob("*.csv")}
    assert {path for _, path in files} == set(CRM.rglob("*.csv"))
    assert sum(map(len, written.values())) < 3_000_000


def test_options(tmp_path: Path) -> None:
    options = ["--dates", "2027-01-01", "2027-01-02", "--rows", "30"]
    make_samples.main(["--out", str(tmp_path / "a"), *options])
    make_samples.main(["--out", str(tmp_path / "b"), *options, "--seed", "2"])
    first, second = sorted((tmp_path / "a" / "newsletter_nl").iterdir())
    assert (first.name, second.name) == ("2027-01-01.csv", "2027-01-02.csv")
    assert 30 <= first.read_text(encoding="utf-8").count("@") <= 40
    assert (tmp_path / "b" / "newsletter_nl" / first.name).read_bytes() != first.read_bytes()


def test_the_engine_reads_them(files: Files) -> None:
    delimiters = {extract.name: extract.delimiter for extract in make_samples.EXTRACTS}
    for (name, path), rows in files.items():
        email, phone = COLUMNS[name]
        source = CsvSource(path, delimiter=delimiters[name])
        columns = {Identifier.PHONE: phone} | ({Identifier.EMAIL: email} if email else {})
        dirt = {"invalid_phone", "no_identifier"} | ({"already_hashed", "invalid_email"} if email else set())
        with prepare(source, columns=columns, profile=DIGITAL_AUDIENCE_S3, memory_limit_mib=256) as load:
            report = load.report
        assert report.rows_read == len(rows), path
        assert report.rows_sent > (0.9 if email else 0.7) * report.rows_read, path
        assert report.duplicates > 0, path
        reasons = {
            *report.rejected_by_reason,
            *(key for found in report.invalid_values.values() for key in found),
        }
        assert dirt <= reasons, path
        assert "malformed_row" not in report.rejected_by_reason, path


def test_they_have_the_documented_dirt(files: Files) -> None:
    encodings = {extract.name: extract.encoding for extract in make_samples.EXTRACTS}
    text = "".join(path.read_text(encoding=encodings[name]) for name, path in files)
    dirt = (
        '"Bergen, NH"',
        '"Den Haag\n(Scheveningen)"',
        '(""Den Dolder"")',
        "\u00a0",
        "\u2011",
        "\t",
        "+32 470",
    )
    assert [part for part in dirt if part not in text] == []
    phones = [row["Mobile phone"] for row in next(iter(files.values()))]
    for spelling in (r"06\d{8}", r"06-\d{8}", r"06 \d\d \d\d \d\d \d\d", r"\+31 \(0\)6 \d{8}", r"00316\d{8}", r"6\d{8}",
                     r"020-\d{7}", r"\(020\) \d{7}", r"020\\\d{7}", r"\+31\(0\)6-\d{8}", r"06/\d{8}"):  # fmt: skip
        assert any(re.fullmatch(spelling, phone) for phone in phones), spelling


def test_addresses_are_in_reserved_domains(files: Files) -> None:
    addresses = [
        row[column] for (name, _), rows in files.items() if (column := COLUMNS[name][0]) for row in rows
    ]
    assert addresses
    for address in addresses:
        _, at, domain = address.replace(" ", "").strip().lower().rpartition("@")
        if at and "." in domain:
            assert re.search(r"(^|\.)(example\.(com|org|net)|example|test)$", domain), domain


def test_lists_grow_and_shrink(files: Files) -> None:
    for extract in make_samples.EXTRACTS:
        key = extract.header[0]
        days = [{row[key] for row in rows} for (name, _), rows in files.items() if name == extract.name]
        assert all(after - before and before - after for before, after in pairwise(days))
    sizes = [path.stat().st_size for name, path in files if name == "loyalty_members"]
    assert sizes != sorted(sizes)
