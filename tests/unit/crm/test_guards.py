"""Guards: which loads they stop, which they let pass, and what they say."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from audience_onboarding.crm.guards import Guards, guard_error
from audience_onboarding.crm.report import LoadReport
from audience_onboarding.errors import GuardError, TerminalError

OFF = Guards(
    min_rows=None,
    max_shrink=None,
    max_rejected_share=None,
    max_invalid_share=None,
    min_filled_share=None,
    max_hash_mismatch_share=None,
)


def report(**changes: Any) -> LoadReport:
    """A load of a thousand rows that is as it should be."""
    counts = {
        "rows_read": 1000,
        "rows_sent": 990,
        "duplicates": 10,
        "rejected": 0,
        "rejected_by_reason": {},
        "invalid_values": {},
        "values_sent": {"email": 980, "phone": 500},
        "values_read": {"email": 990, "phone": 510},
        **changes,
    }
    return LoadReport(**counts)


def rejected(count: int, *, of: int = 1000, reason: str = "invalid_email") -> LoadReport:
    return report(
        rows_read=of,
        rows_sent=of - count,
        duplicates=0,
        rejected=count,
        rejected_by_reason={reason: count},
        values_sent={"email": of - count},
        values_read={"email": of},
    )


def stopped_by(
    guards: Guards, load: LoadReport, *, mode: str = "opt-in", last_rows: int | None = None
) -> list[str]:
    return [failure.setting for failure in guards.failures(load, mode=mode, last_rows=last_rows)]


def only(**limits: Any) -> Guards:
    """One guard alone."""
    return Guards(**{**vars(OFF), **limits})


def test_a_load_as_it_should_be_passes() -> None:
    Guards().check(report(), mode="replace", last_rows=1000)


def test_all_guards_that_are_broken_are_told_at_once_with_their_numbers_and_settings() -> None:
    load = report(
        rows_read=1000,
        rows_sent=400,
        duplicates=200,
        rejected=400,
        rejected_by_reason={"invalid_email": 300, "empty": 90, "malformed_row": 5, "already_hashed": 5},
        unusable_values={"phone": {"invalid_phone": 390}},
        values_sent={"email": 400, "phone": 0},
        values_read={"email": 995, "phone": 500, "custom": 1},
        hash_mismatches=100,
    )

    with pytest.raises(GuardError) as caught:
        Guards(min_rows=500).check(load, mode="replace", last_rows=10_000)

    text = str(caught.value)
    assert "6 of the guards stop this load, nothing is sent" in text
    for part in (
        "guards.min_rows: 400 rows to send, at least 500 have to be",
        "guards.max_shrink: 400 rows to send, the last confirmed load had 10,000: 96% fewer, at most 50% fewer may be",
        "guards.max_rejected_share: 400 of 1,000 rows rejected (40%), at most 30% may be; "
        "invalid_email 300, empty 90, already_hashed 5 and 1 more",
        "guards.max_invalid_share: 390 of 500 values of phone are invalid (78%), at most 50% may be; invalid_phone 390",
        "guards.min_filled_share: the column of custom is filled in 1 of 995 rows (0.101%), at least 1% have to be",
        "guards.max_hash_mismatch_share: 100 of 1,496 values (6.68%) are hashes in a column of plain values",
        "change the setting in the definition, or trigger this load again with 'Ignore guards', which is under "
        "'Exceptions' in its form",
    ):
        assert part in text


def test_one_guard_is_told_as_one() -> None:
    with pytest.raises(GuardError, match="A guard stops this load"):
        only(min_rows=1000).check(report(), mode="opt-in", last_rows=None)


def test_it_is_an_error_that_no_retry_mends_and_that_survives_a_process() -> None:
    error = guard_error(only(min_rows=1000).failures(report(), mode="opt-in", last_rows=None))

    assert isinstance(error, TerminalError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- each limit holds exactly at its edge ---------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "stops"), [(989, False), (990, False), (991, True)])
def test_too_few_rows(rows: int, stops: bool) -> None:
    assert stopped_by(only(min_rows=rows), report()) == (["min_rows"] if stops else [])


@pytest.mark.parametrize(
    ("limit", "last_rows", "stops"),
    [
        (0.5, 1980, False),
        (0.5, 1981, True),
        (0.0, 990, False),
        (0.0, 991, True),
        (0.1, 1100, False),
        (0.1, 1101, True),
        (0.5, 100, False),
        (0.5, None, False),
        (1.0, 1_000_000, False),
        (None, 1_000_000, False),
    ],
)
def test_a_list_that_has_shrunk(limit: float | None, last_rows: int | None, stops: bool) -> None:
    found = stopped_by(only(max_shrink=limit), report(), mode="opt-in", last_rows=last_rows)

    assert found == (["max_shrink"] if stops else [])


@pytest.mark.parametrize(
    ("mode", "stops"), [("replace", True), ("mirror", True), ("opt-in", False), ("opt-out", False)]
)
def test_a_short_list_is_an_alarm_by_itself_only_where_it_takes_people_out(mode: str, stops: bool) -> None:
    assert stopped_by(Guards(), report(), mode=mode, last_rows=10_000) == (["max_shrink"] if stops else [])


@pytest.mark.parametrize(
    ("limit", "count", "stops"),
    [
        (0.3, 300, False),
        (0.3, 301, True),
        (0.0, 0, False),
        (0.0, 1, True),
        (1.0, 999, False),
        (None, 999, False),
    ],
)
def test_too_many_rejected_rows(limit: float | None, count: int, stops: bool) -> None:
    found = stopped_by(only(max_rejected_share=limit), rejected(count))

    assert found == (["max_rejected_share"] if stops else [])


@pytest.mark.parametrize(
    ("limit", "count", "stops"), [(0.5, 255, False), (0.5, 256, True), (0.0, 1, True), (None, 510, False)]
)
def test_too_many_invalid_values_of_one_identifier(limit: float | None, count: int, stops: bool) -> None:
    reasons = {"invalid_phone": count - 1, "already_hashed": 1}

    found = stopped_by(only(max_invalid_share=limit), report(unusable_values={"phone": reasons}))

    assert found == (["max_invalid_share"] if stops else [])


@pytest.mark.parametrize(
    ("limit", "filled", "stops"),
    [(0.01, 10, False), (0.01, 9, True), (0.01, 0, True), (0.0, 0, False), (None, 0, False)],
)
def test_a_column_that_is_hardly_filled(limit: float | None, filled: int, stops: bool) -> None:
    load = report(values_read={"email": 990, "phone": filled}, values_sent={"email": 980})

    assert stopped_by(only(min_filled_share=limit), load) == (["min_filled_share"] if stops else [])


def test_most_people_have_no_apartment() -> None:
    load = report(values_read={"email": 990, "apartment": 0, "extension": 1, "street": 0})

    (failure,) = Guards().failures(load, mode="opt-in", last_rows=None)

    assert "column of street" in str(failure)


def test_rows_that_could_not_be_read_do_not_count_as_unfilled() -> None:
    load = rejected(999, reason="malformed_row")
    load = report(**{**vars(load), "values_read": {"email": 1}})

    assert stopped_by(only(min_filled_share=1.0), load) == []


@pytest.mark.parametrize(
    ("limit", "count", "stops"), [(0.01, 15, False), (0.01, 16, True), (0.0, 1, True), (None, 1500, False)]
)
def test_hashes_where_none_should_be(limit: float | None, count: int, stops: bool) -> None:
    found = stopped_by(only(max_hash_mismatch_share=limit), report(hash_mismatches=count))

    assert found == (["max_hash_mismatch_share"] if stops else [])


# --- small lists ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "stops"), [(99, False), (100, True)])
def test_shares_of_a_short_list_say_nothing(of: int, stops: bool) -> None:
    assert bool(stopped_by(Guards(), rejected(of // 2, of=of))) is stops
    assert stopped_by(Guards(shares_from_rows=1), rejected(of // 2, of=of)) == ["max_rejected_share"]


@pytest.mark.parametrize(("last_rows", "stops"), [(99, False), (100, True)])
def test_it_is_the_length_of_the_last_load_that_counts_for_shrinking(last_rows: int, stops: bool) -> None:
    load = rejected(0, of=3)

    assert bool(stopped_by(Guards(), load, mode="replace", last_rows=last_rows)) is stops


def test_a_hash_in_the_wrong_column_is_a_mistake_in_a_list_of_any_length() -> None:
    load = report(**{**vars(rejected(1, of=3, reason="already_hashed")), "hash_mismatches": 1})

    assert stopped_by(Guards(), load) == ["max_hash_mismatch_share"]


def test_an_empty_report_divides_by_nothing() -> None:
    load = report(rows_read=0, rows_sent=0, duplicates=0, values_sent={}, values_read={"email": 0})

    assert stopped_by(Guards(shares_from_rows=1), load, mode="replace", last_rows=0) == ["min_rows"]


# --- settings -------------------------------------------------------------------------------------------------


def test_everything_can_be_turned_off() -> None:
    load = report(**{**vars(rejected(999)), "hash_mismatches": 999})

    assert stopped_by(OFF, load, mode="replace", last_rows=1_000_000) == []


@pytest.mark.parametrize(
    "limits",
    [
        {"min_rows": 0},
        {"max_shrink": 1.1},
        {"max_rejected_share": -0.1},
        {"max_invalid_share": 50},
        {"min_filled_share": float("nan")},
        {"max_hash_mismatch_share": 2},
        {"shares_from_rows": 0},
        {"on_empty": "ignore"},
    ],
    ids=repr,
)
def test_a_limit_that_cannot_be_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share|rows|on_empty"):
        Guards(**limits)


def test_the_numbers_quote_no_data() -> None:
    (failure,) = only(max_rejected_share=0.0).failures(rejected(1), mode="opt-in", last_rows=None)

    assert re.fullmatch(r"[\w .,:;()%]+", str(failure))
