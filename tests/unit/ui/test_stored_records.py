"""Values read from stored records of any content."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest

from audience_onboarding.state.store import (
    audience_asset,
    campaign_asset,
    campaign_name_of,
    load_key,
)
from audience_onboarding.ui.stored_records import (
    LOADS,
    SEGMENTS,
    Load,
    LoadKey,
    LoadSummary,
    as_count,
    as_date,
    as_datetime,
    as_ratio,
    as_text,
    parse_best_rate,
    parse_extensions,
    parse_record,
)


def test_the_key_of_a_load() -> None:
    for key, period, last, mode in (
        ("load.2026-11-20.replace", "2026-11-20", date(2026, 11, 20), "replace"),
        ("load.2026-11-01..2026-11-20.opt-in", "2026-11-01..2026-11-20", date(2026, 11, 20), "opt-in"),
    ):
        parsed = LoadKey.parse(key)
        assert parsed is not None
        assert (parsed.period, parsed.last, parsed.mode) == (period, last, mode)
        assert load_key(period, mode) == key
        assert LOADS[0] < key < LOADS[1]
    others = "load load. load.x.replace load.2026-11-20. load.2026-11-20 load.2026-02-30.a last_load"
    assert {LoadKey.parse(key) for key in others.split()} == {None}


@pytest.mark.parametrize(
    "collation",
    [str, lambda text: text.casefold(), lambda text: "".join(filter(str.isalnum, text.casefold()))],
)
def test_bounds_hold_in_any_collation(collation: Any) -> None:
    loads = ["load.2024-01-01.replace", "load.2026-11-01..2026-11-20.opt-in", "load.2031-12-31.mirror"]
    others = [
        "last_load",
        "audience",
        "campaign",
        "upload_log",
        "retired",
        "match_rates.replace",
        "pending_loads",
        "snapshots",
    ]
    segments = ["segment.facebook", "segment.a.2026-11", "segment_keys.z", "segment.Zoo"]

    for lower, upper, inside, outside in (
        (*LOADS, loads, others + segments),
        (*SEGMENTS, segments, others + loads),
    ):
        assert all(collation(lower) <= collation(key) < collation(upper) for key in inside)
        assert not any(collation(lower) <= collation(key) < collation(upper) for key in outside)


def test_invalid_records_are_ignored() -> None:
    for text in ("", "{", "[]", "null", "7", '"x"', None, 7, "\ud800"):
        assert parse_record(LoadSummary, text) is parse_record(Load, text) is None
        assert parse_best_rate(text) is None


def test_values_of_a_wrong_type_are_unknown() -> None:
    def each(convert: Any, *values: Any) -> list[Any]:
        return [convert(value) for value in values]

    assert each(as_count, 3, 0, -1, True, 2.5, "3", None) == [3, 0, *[None] * 5]
    assert each(as_ratio, 0, 1, 0.5, 1.1, -0.1, True, "1", float("nan")) == [0.0, 1.0, 0.5, *[None] * 5]
    assert each(as_text, "a", 7, "", True, [], "x" * 900) == ["a", "7", None, None, None, "x" * 500]
    day = date(2026, 11, 20)
    assert each(as_date, "2026-11-20T01:00:00Z", "2026-11-20", "x", 7) == [day, day, None, None]
    assert as_datetime("2026-11-20T01:00:00+02:00") == datetime(2026, 11, 19, 23, tzinfo=timezone.utc)
    assert as_datetime("2026-11-20T01:00:00Z") == as_datetime("2026-11-20T01:00:00")
    assert as_datetime("x") is as_datetime(7) is None


def test_end_dates_in_a_report_of_extensions() -> None:
    rows = [
        {"audience": "a", "segment_id": 1, "outcome": "extended", "from": "2026-11-20", "to": "2026-12-20"},
        {"audience": "a", "segment_id": 2, "outcome": "failed", "from": "2026-11-20", "to": "2026-12-20"},
        {"audience": "a", "segment_id": 3, "outcome": "unchanged", "from": "2026-11-20", "to": None},
        {"audience": "a", "segment_id": 4, "outcome": "unchanged", "from": None, "to": None},
        {"segment_id": 5, "to": "2026-12-20"},
        "nonsense",
    ]

    assert [(item.segment_id, str(item.end)) for item in parse_extensions(rows)] == [
        ("1", "2026-12-20"), ("2", "2026-11-20"), ("3", "2026-11-20"),
    ]  # fmt: skip
    assert parse_extensions(None) == parse_extensions({}) == []


def test_the_name_of_a_campaign() -> None:
    for name in ("Always-on", "a/b/c", ""):
        assert campaign_name_of(campaign_asset("digital_audience", "conn", name).name) == name
    assert audience_asset("fanfare", "a.b").uri == "audience/fanfare/a.b"
