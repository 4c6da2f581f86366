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
    Brief,
    Load,
    LoadKey,
    best_rate_in,
    count_of,
    day_of,
    extended_of,
    moment_of,
    share_of,
    text_of,
)


def test_the_key_of_a_load() -> None:
    for key, days, last, mode in (
        ("load.2026-11-20.replace", "2026-11-20", date(2026, 11, 20), "replace"),
        ("load.2026-11-01..2026-11-20.opt-in", "2026-11-01..2026-11-20", date(2026, 11, 20), "opt-in"),
    ):
        read = LoadKey.read(key)
        assert read is not None
        assert (read.days, read.last, read.mode) == (days, last, mode)
        assert load_key(days, mode) == key
        assert LOADS[0] < key < LOADS[1]
    others = "load load. load.x.replace load.2026-11-20. load.2026-11-20 load.2026-02-30.a last_load"
    assert {LoadKey.read(key) for key in others.split()} == {None}


@pytest.mark.parametrize(
    "collation",
    [str, lambda text: text.casefold(), lambda text: "".join(filter(str.isalnum, text.casefold()))],
)
def test_bounds_hold_in_any_order_of_a_database(collation: Any) -> None:
    ours = ["load.2024-01-01.replace", "load.2026-11-01..2026-11-20.opt-in", "load.2031-12-31.mirror"]
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
        (*LOADS, ours, others + segments),
        (*SEGMENTS, segments, others + ours),
    ):
        assert all(collation(lower) <= collation(key) < collation(upper) for key in inside)
        assert not any(collation(lower) <= collation(key) < collation(upper) for key in outside)


def test_texts_that_are_no_records_are_ignored() -> None:
    for text in ("", "{", "[]", "null", "7", '"x"', None, 7, "\ud800"):
        assert Brief.read(text) is None  # type: ignore[arg-type]
        assert Load.read(text) == Load()  # type: ignore[arg-type]
        assert best_rate_in(text) is None  # type: ignore[arg-type]


def test_values_of_the_wrong_kind_are_unknown() -> None:
    def each(read: Any, *values: Any) -> list[Any]:
        return [read(value) for value in values]

    assert each(count_of, 3, 0, -1, True, 2.5, "3", None) == [3, 0, *[None] * 5]
    assert each(share_of, 0, 1, 0.5, 1.1, -0.1, True, "1", float("nan")) == [0.0, 1.0, 0.5, *[None] * 5]
    assert each(text_of, "a", 7, "", True, [], "x" * 900) == ["a", "7", None, None, None, "x" * 500]
    day = date(2026, 11, 20)
    assert each(day_of, "2026-11-20T01:00:00Z", "2026-11-20", "x", 7) == [day, day, None, None]
    assert moment_of("2026-11-20T01:00:00+02:00") == datetime(2026, 11, 19, 23, tzinfo=timezone.utc)
    assert moment_of("2026-11-20T01:00:00Z") == moment_of("2026-11-20T01:00:00")
    assert moment_of("x") is moment_of(7) is None


def test_what_an_extension_has_seen() -> None:
    rows = [
        {"audience": "a", "segment_id": 1, "outcome": "extended", "from": "2026-11-20", "to": "2026-12-20"},
        {"audience": "a", "segment_id": 2, "outcome": "failed", "from": "2026-11-20", "to": "2026-12-20"},
        {"audience": "a", "segment_id": 3, "outcome": "left alone", "from": "2026-11-20", "to": None},
        {"audience": "a", "segment_id": 4, "outcome": "left alone", "from": None, "to": None},
        {"segment_id": 5, "to": "2026-12-20"},
        "nonsense",
    ]

    assert [(seen.segment_id, str(seen.end)) for seen in extended_of(rows)] == [
        ("1", "2026-12-20"), ("2", "2026-11-20"), ("3", "2026-11-20"),
    ]  # fmt: skip
    assert extended_of(None) == extended_of({}) == []


def test_the_name_of_a_campaign() -> None:
    for name in ("Always-on", "a/b/c", ""):
        assert campaign_name_of(campaign_asset("digital_audience", "conn", name).name) == name
    assert audience_asset("fanfare", "a.b").uri == "audience/fanfare/a.b"
