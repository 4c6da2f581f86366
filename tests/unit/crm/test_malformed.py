"""A corpus of bad files, each with the one outcome that is right: which error, or which counts.

For all of them: every row is accounted for, nobody's data is told, no other error than ours comes out, and nothing is
left on the disk. See :mod:`tests.unit.crm.malformed.check`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.crm.csv_source import CsvSource
from audience_onboarding.errors import AudienceOnboardingError
from tests.unit.crm.malformed.case import Case, Fails, Gives, TreeCase
from tests.unit.crm.malformed.check import in_drops, leaks, observe, told
from tests.unit.crm.malformed.corpus import CORPUS, CORPUS_OF_BORDERS
from tests.unit.crm.malformed.places import PLACES
from tests.unit.crm.malformed.tables import TABLES, TableCase


def named(case: Case | TreeCase | TableCase) -> str:
    """The id of the test."""
    return case.name.encode("ascii", "backslashreplace").decode()


@pytest.fixture
def nothing_told(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Check that neither a text, nor a log, nor what Rust prints when it panics tells somebody's data."""
    caplog.set_level("DEBUG")

    def check(texts: str, case: Case | None = None) -> None:
        out, err = capfd.readouterr()
        logged = "\n".join(
            f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records
        )
        assert leaks("\n".join((texts, out, err, logged)), case.secrets if case else ()) == []

    return check


def assert_outcome(outcome: Fails | Gives, wanted: Fails | Gives) -> None:
    if isinstance(outcome, Fails) and isinstance(wanted, Fails):
        assert outcome.error is wanted.error, outcome.says
        assert wanted.says in outcome.says
    else:
        assert outcome == wanted


def test_there_are_enough() -> None:
    assert len(CORPUS) + len(PLACES) >= 80
    cases: list[Case | TreeCase | TableCase] = [*CORPUS, *CORPUS_OF_BORDERS, *PLACES, *TABLES]
    names = [case.name for case in cases]
    assert len(names) == len(set(names))


def test_what_is_told_is_found() -> None:
    """Or the corpus would prove nothing."""
    try:
        raise ValueError("Canary.1@leak.example")
    except ValueError as error:
        failure = AudienceOnboardingError(what="no")
        failure.__context__ = error
    with pytest.raises(AssertionError, match="chained"):
        told(failure)
    assert leaks("\n Canary.1@leak.example", ()) == ["canary"]
    assert leaks("0687654301", ()) == ["6876543"]
    assert leaks("x", ("x", "y")) == ["x"]


READINGS: dict[str, Callable[[Case, Path], tuple[CsvSource, dict[str, Any]]]] = {
    "at once": lambda case, path: (CsvSource(path, **case.source), {}),
    "in small blocks": lambda case, path: (
        CsvSource(path, **{"block_size": 70_001 if case.large else 101, **case.source}),
        {"threads": 2},
    ),
    "in drops": lambda case, path: (
        CsvSource(stream=lambda: in_drops(case.bytes), label=str(path), **case.source),
        {"memory_limit_mib": 128},
    ),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("case", CORPUS, ids=named)
def test_corpus(case: Case, reading: str, tmp_path: Path, nothing_told: Callable[..., None]) -> None:
    path = tmp_path / "crm.csv"
    case.write(path)
    source, settings = READINGS[reading](case, path)
    outcome, texts = observe(source, case, tmp_path / "spill", **settings)
    assert_outcome(outcome, case.outcome)
    if isinstance(outcome, Fails):
        assert str(path) in outcome.says, "the message does not name the file"
    nothing_told(texts, case)


@pytest.mark.parametrize("case", CORPUS_OF_BORDERS, ids=named)
def test_borders_of_blocks(case: Case, tmp_path: Path, nothing_told: Callable[..., None]) -> None:
    path = tmp_path / "crm.csv"
    case.write(path)
    outcome, texts = observe(CsvSource(path, **case.source), case, tmp_path / "spill")
    assert_outcome(outcome, case.outcome)
    nothing_told(texts, case)


@pytest.mark.parametrize("table", TABLES, ids=named)
def test_tables(table: TableCase, tmp_path: Path, nothing_told: Callable[..., None]) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    path = folder / "crm"
    table.case.write(path)
    outcome, texts = observe(table.open(path), table.case, tmp_path / "spill", threads=2)
    assert_outcome(outcome, table.case.outcome)
    if isinstance(outcome, Fails):
        assert str(folder) in outcome.says, "the message does not name the file"
    nothing_told(texts, table.case)


@pytest.mark.parametrize("place", PLACES, ids=named)
def test_places(place: TreeCase, tmp_path: Path, nothing_told: Callable[..., None]) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    case = Case(place.name, b"", place.outcome)
    outcome, texts = observe(CsvSource(place.build(folder)), case, tmp_path / "spill")
    assert_outcome(outcome, case.outcome)
    nothing_told(texts)
