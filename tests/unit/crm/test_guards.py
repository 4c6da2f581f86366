"""Guards: loads that they stop, loads that pass, and their messages."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from audience_onboarding.crm.guards import Guards, build_guard_error
from audience_onboarding.crm.report import LoadReport
from audience_onboarding.exceptions import TerminalError

OFF = Guards(
    min_rows=None,
    max_row_drop=None,
    max_rejected_ratio=None,
    max_invalid_ratio=None,
    min_filled_ratio=None,
    max_hash_mismatch_ratio=None,
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


def test_failures_valid_load_are_none() -> None:
    assert Guards().failures(report(), mode="replace", last_rows=1000) == []


def test_guard_error_lists_all_failures_with_numbers_and_settings() -> None:
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

    text = str(build_guard_error(Guards(min_rows=500).failures(load, mode="replace", last_rows=10_000)))

    assert "6 of the guards stop this load, nothing is sent" in text
    for part in (
        "guards.min_rows: 400 rows to send, minimum 500",
        "guards.max_row_drop: 400 rows to send, the last confirmed load had 10,000: 96% fewer, maximum 50%",
        "guards.max_rejected_ratio: 400 of 1,000 rows rejected (40%), maximum 30%; "
        "invalid_email 300, empty 90, already_hashed 5 and 1 more",
        "guards.max_invalid_ratio: 390 of 500 values of phone are invalid (78%), maximum 50%; invalid_phone 390",
        "guards.min_filled_ratio: the column of custom is filled in 1 of 995 rows (0.101%), minimum 1%",
        "guards.max_hash_mismatch_ratio: 100 of 1,496 values (6.68%) are hashes in an unhashed column",
        "change the setting in the definition, or trigger this load again with 'Ignore guards', which is under "
        "'Exceptions' in its form",
    ):
        assert part in text


def test_guard_error_single_failure_has_own_text() -> None:
    error = build_guard_error(only(min_rows=1000).failures(report(), mode="opt-in", last_rows=None))
    assert str(error).startswith("A guard stops this load")


def test_guard_error_is_terminal_and_can_be_pickled() -> None:
    error = build_guard_error(only(min_rows=1000).failures(report(), mode="opt-in", last_rows=None))

    assert isinstance(error, TerminalError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- each limit holds exactly at its edge ---------------------------------------------------------------------


def phones_invalid(count: int) -> LoadReport:
    return report(unusable_values={"phone": {"invalid_phone": count - 1, "already_hashed": 1}})


def phones_filled(count: int) -> LoadReport:
    return report(values_read={"email": 990, "phone": count}, values_sent={"email": 980})


# For each guard: the load of a count, and for each limit the counts that pass and those that stop.
EDGES: dict[str, tuple[Callable[[int], LoadReport], dict[float | None, tuple[list[int], list[int]]]]] = {
    "max_rejected_ratio": (
        rejected,
        {0.3: ([300], [301]), 0.0: ([0], [1]), 1.0: ([999], []), None: ([999], [])},
    ),
    "max_invalid_ratio": (phones_invalid, {0.5: ([255], [256]), 0.0: ([], [1]), None: ([510], [])}),
    "min_filled_ratio": (phones_filled, {0.01: ([10], [9, 0]), 0.0: ([0], []), None: ([0], [])}),
    "max_hash_mismatch_ratio": (
        lambda count: report(hash_mismatches=count),
        {0.01: ([15], [16]), 0.0: ([], [1]), None: ([1500], [])},
    ),
}


@pytest.mark.parametrize("setting", EDGES)
def test_failures_ratio_at_the_limit_passes(setting: str) -> None:
    load_of, limits = EDGES[setting]
    for limit, (passing, stopping) in limits.items():
        for count in passing:
            assert stopped_by(only(**{setting: limit}), load_of(count)) == [], (limit, count)
        for count in stopping:
            assert stopped_by(only(**{setting: limit}), load_of(count)) == [setting], (limit, count)


def test_failures_too_few_rows_fail_min_rows() -> None:
    assert [stopped_by(only(min_rows=rows), report()) for rows in (989, 990, 991)] == [[], [], ["min_rows"]]


def test_failures_shorter_list_fails_max_row_drop() -> None:
    for limit, last_rows, stops in (
        (0.5, 1980, False), (0.5, 1981, True), (0.0, 990, False), (0.0, 991, True), (0.1, 1100, False),
        (0.1, 1101, True), (0.5, 100, False), (0.5, None, False), (1.0, 1_000_000, False), (None, 1_000_000, False),
    ):  # fmt: skip
        found = stopped_by(only(max_row_drop=limit), report(), last_rows=last_rows)
        assert found == (["max_row_drop"] if stops else []), (limit, last_rows)


def test_failures_row_drop_default_applies_to_full_list_modes() -> None:
    modes = ("replace", "mirror", "opt-in", "opt-out")
    found = [stopped_by(Guards(), report(), mode=mode, last_rows=10_000) for mode in modes]
    assert found == [["max_row_drop"], ["max_row_drop"], [], []]


def test_failures_sparse_identifiers_are_ignored() -> None:
    load = report(values_read={"email": 990, "apartment": 0, "extension": 1, "street": 0})

    (failure,) = Guards().failures(load, mode="opt-in", last_rows=None)

    assert "column of street" in str(failure)


def test_failures_malformed_rows_are_not_unfilled() -> None:
    load = rejected(999, reason="malformed_row")
    load = report(**{**vars(load), "values_read": {"email": 1}})

    assert stopped_by(only(min_filled_ratio=1.0), load) == []


# --- small lists ----------------------------------------------------------------------------------------------


def test_failures_short_list_skips_ratios() -> None:
    for of, stops in ((99, False), (100, True)):
        assert bool(stopped_by(Guards(), rejected(of // 2, of=of))) is stops
        assert stopped_by(Guards(min_rows_for_ratios=1), rejected(of // 2, of=of)) == ["max_rejected_ratio"]


def test_failures_row_drop_uses_rows_of_last_load() -> None:
    for last_rows, stops in ((99, False), (100, True)):
        assert bool(stopped_by(Guards(), rejected(0, of=3), mode="replace", last_rows=last_rows)) is stops


def test_failures_hash_mismatch_applies_to_any_length() -> None:
    load = report(**{**vars(rejected(1, of=3, reason="already_hashed")), "hash_mismatches": 1})

    assert stopped_by(Guards(), load) == ["max_hash_mismatch_ratio"]


def test_failures_empty_report_never_divides_by_zero() -> None:
    load = report(rows_read=0, rows_sent=0, duplicates=0, values_sent={}, values_read={"email": 0})

    assert stopped_by(Guards(min_rows_for_ratios=1), load, mode="replace", last_rows=0) == ["min_rows"]


# --- settings -------------------------------------------------------------------------------------------------


def test_failures_all_guards_off_are_none() -> None:
    load = report(**{**vars(rejected(999)), "hash_mismatches": 999})

    assert stopped_by(OFF, load, mode="replace", last_rows=1_000_000) == []


def test_guards_invalid_limits_raise() -> None:
    for name, limit in (
        *(("min_rows", 0), ("max_row_drop", 1.1), ("max_rejected_ratio", -0.1), ("max_invalid_ratio", 50)),
        *(("min_filled_ratio", float("nan")), ("max_hash_mismatch_ratio", 2)),
        *(("min_rows_for_ratios", 0), ("on_empty", "ignore")),
    ):
        limits: dict[str, Any] = {name: limit}
        with pytest.raises(ValueError, match=name):
            Guards(**limits)


def test_failures_numbers_quote_no_data() -> None:
    (failure,) = only(max_rejected_ratio=0.0).failures(rejected(1), mode="opt-in", last_rows=None)

    assert re.fullmatch(r"[\w .,:;()%]+", str(failure))
