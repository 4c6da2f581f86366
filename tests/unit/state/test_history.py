"""Ranges of days: their days, and refused ranges."""

from __future__ import annotations

import re
from datetime import date, timedelta

from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.state.history import MAX_RANGE_DAYS, format_dates, range_dates
from audience_onboarding.state.store import format_period, load_identity, load_key, record_period
from tests.unit.state.helpers import check_refused

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 20)


def test_all_days_oldest_first() -> None:
    days = range_dates(date(2026, 2, 27), date(2026, 3, 2), mode="opt-in")

    assert [str(day) for day in days] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    assert range_dates(LAST, LAST, mode="opt-out") == (LAST,)


def test_a_range_has_an_order_an_end_and_a_mode_in_which_all_its_days_count() -> None:
    longest = LAST - timedelta(days=MAX_RANGE_DAYS - 1)
    assert len(range_dates(longest, LAST, mode="opt-in")) == MAX_RANGE_DAYS == 1100

    whole_list = (
        "A range of days cannot be loaded with mode '{}': each list says who is in the audience, so only that of "
        "the newest day counts (2026-11-01..2026-11-20). Run 2026-11-20 alone, without a first day."
    )
    turned = "The first day of the range, 2026-11-20, is after its last one, 2026-11-01. Give them the other way round."
    too_long = (
        "The range has 1,101 days, more than 1,100 (2023-11-16..2026-11-20). Load it as several ranges, one after the "
        "other."
    )
    cases = [(FIRST, LAST, mode, whole_list.format(mode)) for mode in ("replace", "mirror")]
    cases += [(LAST, FIRST, "opt-in", turned), (longest - timedelta(days=1), LAST, "opt-in", too_long)]
    check_refused(
        lambda case: range_dates(case[0], case[1], mode=case[2]),
        cases,
        ConfigurationError,
        lambda case: f"^{re.escape(case[3])}$",
    )


def test_a_message_names_twenty_days() -> None:
    days = [FIRST + timedelta(days=number) for number in range(21)]

    assert format_dates(days[:2]) == "2026-11-01, 2026-11-02"
    assert format_dates(days[:20]).endswith(", 2026-11-20")
    assert format_dates(days).endswith(", 2026-11-20 and 1 more")


def test_a_range_has_a_key_of_its_own() -> None:
    days = format_period("2026-11-20", "2026-11-01")

    assert load_key(days, "opt-in") == "load.2026-11-01..2026-11-20.opt-in"
    assert load_identity(days, "opt-in", "abc") == "2026-11-01..2026-11-20 opt-in abc"
    assert record_period({"load_date": "2026-11-20", "range_start": "2026-11-01"}) == days
    # What was written before there were ranges is found.
    assert load_key(record_period({"load_date": "2026-11-20"}), "opt-in") == "load.2026-11-20.opt-in"
    assert format_period("2026-11-20", None) == format_period("2026-11-20", "") == "2026-11-20"
