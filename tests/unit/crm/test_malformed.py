"""A corpus of bad files, each with the one outcome that is right: which error, or which counts.

For all of them: every row is accounted for, no personal data leaks, no error of a library comes out, and nothing is
left on the disk. See :mod:`tests.unit.crm.malformed.check`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest

from audience_onboarding.crm.sources import csv_file, csv_structure
from audience_onboarding.crm.sources.base import Source
from audience_onboarding.crm.sources.csv_file import CsvSource
from audience_onboarding.exceptions import AudienceOnboardingError
from tests.profiles import THOROUGH
from tests.unit.crm.malformed.case import Case, Fails
from tests.unit.crm.malformed.check import error_texts, in_drops, leaks, observe
from tests.unit.crm.malformed.encodings import ENCODINGS
from tests.unit.crm.malformed.headers import EMPTY, HEADERS
from tests.unit.crm.malformed.other_kinds import ARCHIVES, KINDS
from tests.unit.crm.malformed.places import PLACES, TreeCase
from tests.unit.crm.malformed.sizes import BORDERS, SIZES
from tests.unit.crm.malformed.structure import DELIMITERS, LINE_ENDS, QUOTES, ROWS
from tests.unit.crm.malformed.tables import TABLES, TableCase
from tests.unit.crm.malformed.values import EMAILS, HASHES, PHONES, SPREADSHEETS, WHOLE

CORPUS: list[Case] = [
    *(*EMPTY, *HEADERS, *ROWS, *LINE_ENDS, *QUOTES, *DELIMITERS, *ENCODINGS, *KINDS, *ARCHIVES),
    *(*SPREADSHEETS, *PHONES, *EMAILS, *HASHES, *WHOLE, *SIZES),
]

AnyCase = TypeVar("AnyCase", Case, TreeCase, TableCase)
Check = Callable[..., None]


@pytest.fixture
def nothing_leaks(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Check:
    """Check that texts, logs and the output of Rust panics hold no personal data."""
    caplog.set_level("DEBUG")

    def check(texts: str, secrets: Sequence[str] = ()) -> None:
        out, err = capfd.readouterr()
        logged = "\n".join(
            f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records
        )
        caplog.clear()
        assert leaks("\n".join((texts, out, err, logged)), secrets) == []

    return check


def check_all(cases: Sequence[AnyCase], check: Callable[[AnyCase], None]) -> None:
    """Check each case, and report all that fail by their names."""
    problems = []
    for case in cases:
        try:
            check(case)
        except (Exception, pl.exceptions.PanicException):
            problems.append(f"--- {case.name}\n{traceback.format_exc()}")
    assert not problems, f"{len(problems)} of {len(cases)} cases\n" + "\n".join(problems)


def check_outcome(
    case: Case, source: Source, spill: Path, nothing_leaks: Check, *, name: str = "", **settings: Any
) -> None:
    """Check the outcome of a load, the texts that came of it, and that an error names the file."""
    outcome, texts = observe(source, case, spill, **settings)
    wanted = case.outcome
    if isinstance(outcome, Fails) and isinstance(wanted, Fails):
        assert outcome.error is wanted.error, outcome.says
        assert wanted.says in outcome.says, outcome.says
        assert name in outcome.says, "the message does not name the file"
    else:
        assert outcome == wanted, outcome
    nothing_leaks(texts, case.secrets)


def test_corpus_is_large_and_names_are_unique() -> None:
    assert len(CORPUS) >= 300
    cases: list[Case | TreeCase | TableCase] = [*CORPUS, *BORDERS, *PLACES, *TABLES]
    names = [case.name for case in cases]
    assert len(names) == len(set(names))


def test_leaks_planted_values_are_found() -> None:
    """Otherwise the corpus would prove nothing."""
    try:
        raise ValueError("Canary.1@leak.example")
    except ValueError as error:
        failure = AudienceOnboardingError(what="no")
        failure.__context__ = error
    with pytest.raises(AssertionError, match="chained"):
        error_texts(failure)
    assert leaks("\n Canary.1@leak.example", ()) == ["canary"]
    assert leaks("0687654301", ()) == ["6876543"]
    assert leaks("x", ("x", "y")) == ["x"]


BLOCK_SIZES = (101, 1, 20, 7)


def at_once(case: Case, path: Path) -> tuple[CsvSource, dict[str, Any]]:
    return CsvSource(path, **case.source), {}


def in_small_blocks(case: Case, path: Path) -> tuple[CsvSource, dict[str, Any]]:
    """Read a small case in blocks of a few bytes; the size depends on the name."""
    size = 70_001 if case.large else BLOCK_SIZES[len(case.name) % len(BLOCK_SIZES)]
    return CsvSource(path, **{"block_size": size, **case.source}), {"threads": 2}


def dripping(case: Case, path: Path) -> tuple[CsvSource, dict[str, Any]]:
    """Read a stream that gives a few bytes at a time; one in two is seekable."""
    is_seekable = len(case.name) % 2 == 1
    stream = partial(in_drops, case.bytes, is_seekable=is_seekable)
    source = CsvSource(stream=stream, label=str(path), **case.source)
    return source, {"memory_limit_mib": 128}


READINGS = [(reading, exact) for exact in (False, True) for reading in (at_once, in_small_blocks, dripping)]


@pytest.mark.parametrize(
    "number",
    range(len(READINGS)),
    ids=[f"{reading.__name__}-{'exact' if exact else 'any'} reader" for reading, exact in READINGS],
)
def test_corpus_each_reader_has_the_expected_outcome(
    number: int, tmp_path: Path, nothing_leaks: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each case has its outcome, however the file is read, and by either of the two readers."""
    reading, exact = READINGS[number]
    if exact:
        monkeypatch.setattr(csv_structure.CsvStructure, "check", lambda structure, text: None)
    path = tmp_path / "crm.csv"

    def check(case: Case) -> None:
        path.write_bytes(case.bytes)
        source, settings = reading(case, path)
        check_outcome(case, source, tmp_path / "spill", nothing_leaks, name=str(path), **settings)

    # The quick profile reads each case at once, and in one of the other ways.
    check_all(CORPUS if THOROUGH or not number else CORPUS[number - 1 :: len(READINGS) - 1], check)


def test_corpus_borders_of_blocks_do_not_matter(tmp_path: Path, nothing_leaks: Check) -> None:
    path = tmp_path / "crm.csv"

    def check(case: Case) -> None:
        path.write_bytes(case.bytes)
        check_outcome(case, CsvSource(path, **case.source), tmp_path / "spill", nothing_leaks)

    check_all(BORDERS if THOROUGH else BORDERS[::2], check)


def test_corpus_tables_have_the_expected_outcome(tmp_path: Path, nothing_leaks: Check) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()

    def check(table: TableCase) -> None:
        path = folder / "crm"
        path.write_bytes(table.case.bytes)
        spill = tmp_path / "spill"
        check_outcome(table.case, table.open(path), spill, nothing_leaks, name=str(folder), threads=2)

    check_all(TABLES, check)


def test_corpus_paths_have_the_expected_outcome(tmp_path: Path, nothing_leaks: Check) -> None:
    def check(place: TreeCase) -> None:
        folder = tmp_path / str(PLACES.index(place))
        folder.mkdir()
        case = Case(place.name, b"", place.outcome)
        check_outcome(case, CsvSource(place.build(folder)), tmp_path / "spill", nothing_leaks)

    check_all(PLACES, check)


def test_csv_source_usual_files_skip_the_exact_reader(
    tmp_path: Path, nothing_leaks: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the exact reader was used")

    monkeypatch.setattr(csv_file._Reader, "_read_exact", refuse)
    monkeypatch.setattr(csv_file._Reader, "exact_rows", refuse)
    names = {"one row", "byte order mark", "byte order mark and quotes", "blank lines", "blank lines, crlf",
             "all in quotes", "all in quotes, crlf", "quoted delimiters", "quoted line feeds", "quoted line ends, crlf",
             "doubled quotes"}  # fmt: skip
    path = tmp_path / "crm.csv"

    def check(case: Case) -> None:
        path.write_bytes(case.bytes)
        check_outcome(case, CsvSource(path), tmp_path / "spill", nothing_leaks)

    usual = [case for case in CORPUS if case.name in names]
    assert len(usual) == len(names)
    check_all(usual, check)
