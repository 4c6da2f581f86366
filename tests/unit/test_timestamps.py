"""Moments in messages."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from audience_onboarding.timestamps import format_utc


def test_a_moment_is_told_in_utc_whatever_its_time_zone() -> None:
    assert format_utc(datetime(2026, 11, 20, 3, 0, 59, tzinfo=timezone.utc)) == "2026-11-20 03:00 UTC"
    east = timezone(timedelta(hours=2))
    assert format_utc(datetime(2026, 11, 20, 1, 30, tzinfo=east)) == "2026-11-19 23:30 UTC"
