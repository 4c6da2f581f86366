"""One rule for the load date of scheduled, manual and backfilled runs."""

from __future__ import annotations

from datetime import date, datetime, timezone
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from audience_onboarding.errors import ConfigurationError
from audience_onboarding.orchestration.load_date import (
    resolve_history_from,
    resolve_load_date,
    run_type,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)


class RunType(str, Enum):
    """As Airflow's."""

    BACKFILL = "backfill"


def context(
    *,
    run_type: str = "scheduled",
    partition_key: str | None = None,
    logical_date: datetime | None = None,
    run_after: datetime = NOON,
    **params: Any,
) -> dict[str, Any]:
    return {
        "params": params,
        "dag_run": SimpleNamespace(
            run_type=run_type, partition_key=partition_key, logical_date=logical_date, run_after=run_after
        ),
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"load_date": "2026-11-01"}, date(2026, 11, 1)),
        ({"load_date": "2026-11-01", "partition_key": "2026-11-02", "logical_date": NOON}, date(2026, 11, 1)),
        ({"partition_key": "2026-11-02"}, date(2026, 11, 2)),
        ({"partition_key": "2026-11-02", "logical_date": NOON}, date(2026, 11, 2)),
        ({"load_date": None, "partition_key": "2026-11-02"}, date(2026, 11, 2)),
        ({"load_date": "", "partition_key": "2026-11-02"}, date(2026, 11, 2)),
        ({"logical_date": datetime(2026, 11, 3, tzinfo=timezone.utc)}, date(2026, 11, 3)),
        ({}, date(2026, 11, 20)),
        ({"partition_key": "2024-02-29"}, date(2024, 2, 29)),
    ],
)
def test_where_the_load_date_comes_from(given: dict[str, Any], expected: date) -> None:
    assert resolve_load_date(context(**given)) == expected


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2026-11-20T22:59:59+00:00", "Europe/Amsterdam", date(2026, 11, 20)),
        ("2026-11-20T23:00:00+00:00", "Europe/Amsterdam", date(2026, 11, 21)),
        ("2026-07-20T22:00:00+00:00", "Europe/Amsterdam", date(2026, 7, 21)),
        ("2026-11-20T23:59:59+00:00", "UTC", date(2026, 11, 20)),
        ("2026-11-20T04:59:59+00:00", "America/New_York", date(2026, 11, 19)),
        ("2026-11-20T10:00:00+00:00", "Pacific/Kiritimati", date(2026, 11, 21)),
        ("2026-10-25T00:30:00+00:00", "Europe/Amsterdam", date(2026, 10, 25)),
    ],
)
@pytest.mark.parametrize("attribute", ["logical_date", "run_after"])
def test_a_moment_counts_in_the_definitions_time_zone(
    moment: str, zone: str, expected: date, attribute: str
) -> None:
    run = context(**{attribute: datetime.fromisoformat(moment)})

    assert resolve_load_date(run, timezone=zone) == expected


def test_a_context_without_a_form_has_a_load_date_too() -> None:
    assert resolve_load_date({"dag_run": context()["dag_run"]}) == date(2026, 11, 20)


WRONG = ["yesterday", "20-11-2026", "2026-02-30", "2026-13-01", "2026/11/20", "20261120", "2026-W47-5", " "]


@pytest.mark.parametrize("value", WRONG)
def test_a_form_with_something_else_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"form's load_date.*YYYY-MM-DD") as caught:
        resolve_load_date(context(load_date=value))

    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", WRONG)
def test_a_partition_key_that_is_no_date_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"partition key.*YYYY-MM-DD"):
        resolve_load_date(context(partition_key=value))


@pytest.mark.parametrize("kind", ["backfill", RunType.BACKFILL])
def test_a_backfill_takes_its_dates_from_its_range_only(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="A backfill takes its load dates from its own range"):
        resolve_load_date(context(run_type=kind, partition_key="2026-11-02", load_date="2026-11-01"))


def test_a_backfill_without_a_date_in_its_conf_takes_the_partition_key() -> None:
    run = context(run_type=RunType.BACKFILL, partition_key="2026-11-02", load_date=None)

    assert resolve_load_date(run) == date(2026, 11, 2)


@pytest.mark.parametrize("kind", ["manual", "scheduled", "operator_triggered"])
def test_a_range_of_days_has_a_first_one(kind: str) -> None:
    assert resolve_history_from(context(run_type=kind), "2026-11-01") == date(2026, 11, 1)
    for nothing in ("", None):
        assert resolve_history_from(context(run_type="backfill"), nothing) is None


def test_a_first_day_that_is_none_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"'1 Nov' is not a load date \(history_from\)\. Give it as YYYY-MM-DD"
    ):
        resolve_history_from(context(), "1 Nov")


def test_each_run_of_a_backfill_is_about_one_day() -> None:
    with pytest.raises(ConfigurationError, match="Leave 'history_from' out of the conf"):
        resolve_history_from(context(run_type=RunType.BACKFILL), "2026-11-01")


@pytest.mark.parametrize(
    ("value", "text"), [("manual", "manual"), (RunType.BACKFILL, "backfill"), ("asset_triggered",) * 2]
)
def test_the_run_type_is_text(value: str, text: str) -> None:
    assert run_type(context(run_type=value)) == text
