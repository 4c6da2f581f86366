"""Watching match rates: the loads to compare with, the findings, and the memory for later loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from audience_onboarding.exceptions import MatchRateError
from audience_onboarding.state.match_rates import (
    MAX_HISTORY,
    LoadStats,
    MatchRateLimits,
    evaluate_match_rates,
    raise_if_blocked,
    rates_key,
)
from tests.fakes import DictStore

LIMITS = MatchRateLimits(min_history=3, max_drop=0.2)


class Audience:
    """One audience over its loads."""

    def __init__(self, limits: MatchRateLimits = LIMITS) -> None:
        self.limits = limits
        self.store = DictStore()

    def load(
        self,
        day: int | str,
        email: float | None,
        *,
        rows: int = 1000,
        uploaded: int | None = None,
        mode: str = "opt-in",
        ignored: bool = False,
        is_range: bool = False,
        **others: float | None,
    ) -> dict[str, Any]:
        """Judge one load."""
        rates: Mapping[str, float | None] = {"email": email, **others}
        load_date = day if isinstance(day, str) else f"2026-11-{day:02}"
        seen = LoadStats(load_date, is_range, rows, rows if uploaded is None else uploaded, rates)
        return evaluate_match_rates(seen, self.limits, store=self.store, mode=mode, is_ignored=ignored)

    def days(self, mode: str = "opt-in") -> list[str]:
        """The loads that are remembered."""
        return [entry["load_date"] for entry in self.store.get(rates_key(mode)) or []]


def settings_of(watched: Mapping[str, Any]) -> list[str]:
    return [finding.partition(":")[0] for finding in watched["findings"]]


def test_a_load_is_compared_with_the_mean_of_the_loads_before_it() -> None:
    audience = Audience()
    for day, rate in enumerate((0.6, 0.5, 0.7), start=1):
        assert audience.load(day, rate)["findings"] == []

    usual = audience.load(4, 0.49)
    dropped = audience.load(5, 0.3)

    assert (usual["means"], usual["compared_with"]) == ({"email": 0.6}, 3)
    assert usual["findings"] == []
    assert dropped["findings"] == [
        "match_rates.max_drop: 30% of email match, 47.6% less than the mean of the last 4 loads (57.2%), maximum 20%"
    ]
    assert not dropped["stops"]


def test_loads_without_a_finding() -> None:
    for limits, before, load in (
        # A drop of exactly the limit, a rate of nothing that stays so, and rules that are off.
        (MatchRateLimits(min_history=1, max_drop=0.5), [(0.5, 1000)], (0.25, 1000)),
        (MatchRateLimits(min_history=1, max_drop=0.2), [(0.0, 1000)], (0.0, 1000)),
        (MatchRateLimits(min_history=1, max_drop=None), [(0.9, 100_000)], (0.01, 100)),
        # Too few loads to compare with.
        (LIMITS, [(0.9, 1000), (0.9, 1000)], (0.1, 1000)),
    ):
        audience = Audience(limits)
        for day, (rate, rows) in enumerate(before, start=1):
            audience.load(day, rate, rows=rows)

        found = audience.load(20, load[0], rows=load[1])

        assert found["findings"] == [], limits
    assert (found["compared_with"], found["means"]) == (0, {})


def test_a_floor_holds_from_the_first_load_on_and_unknown_is_not_zero() -> None:
    for rate, is_below in ((0.39, True), (0.4, False), (0.41, False), (None, False), (0.0, True)):
        found = Audience(MatchRateLimits(min_rate={"email": 0.4})).load(1, rate, phone=0.01)

        assert settings_of(found) == (["match_rates.min_rate"] if is_below else []), rate
        assert found["rates"] == {"email": rate, "phone": 0.01}
        if is_below:
            assert found["findings"][0].endswith("of email match, minimum 40%")


def test_the_mean_is_that_of_the_last_known_rates() -> None:
    audience = Audience(MatchRateLimits(window=2, min_history=2, max_drop=None))
    for day, rate in enumerate((0.1, 0.4, 0.6), start=1):
        audience.load(day, rate)
    assert audience.load(4, 0.5)["means"] == {"email": 0.5}

    audience = Audience(MatchRateLimits(min_history=1, max_drop=0.2))
    for day, email, phone in ((1, 0.6, 0.5), (2, 0.6, None), (3, None, None)):
        audience.load(day, email, phone=phone)
    assert audience.days() == ["2026-11-01", "2026-11-02"]
    assert audience.load(4, 0.6, phone=0.5)["means"] == {"email": 0.6, "phone": 0.5}


def test_more_or_fewer_rows_than_usual() -> None:
    for rows, is_outside in ((499, True), (500, False), (1500, False), (1501, True)):
        audience = Audience(MatchRateLimits(min_history=2, max_rows_deviation=0.5))
        audience.load(1, 0.5, rows=900)
        audience.load(2, 0.5, rows=1100)

        found = audience.load(3, 0.5, rows=rows)

        assert settings_of(found) == (["match_rates.max_rows_deviation"] if is_outside else []), rows
        usual = "the mean of the last 2 loads is 1,000, maximum deviation 50%"
        assert all(usual in finding for finding in found["findings"])


def test_a_few_rows_are_neither_judged_nor_remembered() -> None:
    audience = Audience(MatchRateLimits(min_rate={"email": 0.4}, min_rows=100))

    # Of a mirror, a long list may change a few only.
    found = audience.load(1, 0.1, rows=10_000, uploaded=99)

    assert (found["findings"], found["judged"], audience.days()) == ([], False, [])
    assert audience.load(2, 0.1, uploaded=100)["findings"]


def test_each_mode_is_compared_with_itself() -> None:
    audience = Audience(MatchRateLimits(min_history=1))
    audience.load(1, 0.9, mode="opt-out")

    assert audience.load(2, 0.1, mode="opt-in")["compared_with"] == 0
    assert (audience.days("opt-out"), audience.days("opt-in")) == (["2026-11-01"], ["2026-11-02"])


def test_a_range_of_days_is_held_to_the_floor_and_not_remembered() -> None:
    audience = Audience(MatchRateLimits(min_history=1, min_rate={"email": 0.2}))
    audience.load(1, 0.9)

    found = audience.load(20, 0.1, is_range=True)

    assert (settings_of(found), found["compared_with"]) == (["match_rates.min_rate"], 0)
    assert audience.days() == ["2026-11-01"]


def test_a_load_is_compared_with_earlier_days_only_and_each_day_is_kept_once() -> None:
    audience = Audience(MatchRateLimits(min_history=1))
    for day, rate in ((10, 0.9), (12, 0.8)):
        audience.load(day, rate)

    assert audience.load(11, 0.5)["compared_with"] == 1
    again = audience.load(11, 0.85)

    assert (again["compared_with"], again["means"]) == (1, {"email": 0.9})
    assert audience.days() == ["2026-11-10", "2026-11-11", "2026-11-12"]
    kept = audience.store.get("match_rates.opt-in")
    assert [entry["rates"]["email"] for entry in kept] == [0.9, 0.85, 0.8]


def test_a_stopped_load_is_no_measure_for_others_and_an_ignored_one_is() -> None:
    audience = Audience(MatchRateLimits(min_history=1, on_violation="fail"))
    audience.load(1, 0.9)

    stopped = audience.load(2, 0.1)
    assert stopped["stops"]
    assert audience.days() == ["2026-11-01"]

    ignored = audience.load(2, 0.1, ignored=True)
    assert (ignored["stops"], ignored["ignored"], len(ignored["findings"])) == (False, True, 1)
    assert audience.days() == ["2026-11-01", "2026-11-02"]

    # A day that was good and is not any more.
    assert audience.load(2, 0.1)["stops"]
    assert audience.days() == ["2026-11-01"]


def test_a_load_that_is_only_warned_of_is_a_measure_so_that_warnings_end() -> None:
    audience = Audience(MatchRateLimits(window=2, min_history=1))
    audience.load(1, 0.9)

    warned = [bool(audience.load(day, 0.3)["findings"]) for day in range(2, 6)]

    assert warned == [True, True, False, False]


def test_the_list_is_bounded_and_keeps_the_newest() -> None:
    audience = Audience()
    for day in range(MAX_HISTORY + 5):
        audience.load(f"2026-{1 + day // 28:02}-{1 + day % 28:02}", 0.5)
    audience.load("2020-01-01", 0.5)

    assert len(audience.days()) == MAX_HISTORY
    assert audience.days()[0] == "2026-01-06"
    assert audience.days() == sorted(audience.days())


def test_a_stop_has_the_numbers_and_the_next_step() -> None:
    with pytest.raises(MatchRateError) as caught:
        raise_if_blocked(Audience(MatchRateLimits(min_rate={"email": 0.4}, on_violation="fail")).load(1, 0.1))

    assert str(caught.value) == (
        "The load is confirmed, but its match rates violate a limit; it is not activated: match_rates.min_rate: 10% of "
        "email match, minimum 40%. Check the source. If it is correct, run this load date again with 'Ignore match "
        "rates': nothing is sent twice, and the activation starts."
    )
    # A load that is not watched, or has no finding, is not stopped.
    raise_if_blocked(None)
    raise_if_blocked(Audience(MatchRateLimits(on_violation="fail")).load(1, 0.9))
