"""When an audience has taken in our upload: the whole table."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.digital_audience.definition import RatedIdentifier
from audience_onboarding.digital_audience.models import Audience
from audience_onboarding.digital_audience.readiness import (
    IDENTIFIERS,
    Baseline,
    Expectation,
    Verdict,
    judge,
    rates_by_identifier,
    summary,
)

EARLIER = "2026-11-20T02:00:00Z"
BEFORE = "2026-11-20T03:00:00Z"
AFTER = "2026-11-20T04:00:00Z"
LATER = "2026-11-20T05:00:00Z"

READY, FAILED, WAITING = Verdict.READY, Verdict.FAILED, Verdict.WAITING


def entry(
    created: str | None = AFTER, *, mode: str | None = "opt-in", rows: int | None = 100
) -> dict[str, Any]:
    return {"created": created, "mode": mode, "totalRows": rows}


def audience(
    state: str | None = "READY",
    *,
    data_updated: str | None = AFTER,
    updated: str | None = AFTER,
    history: list[dict[str, Any]] | None = None,
) -> Audience:
    return Audience.model_validate(
        {
            "id": 7,
            "audienceState": state,
            "updated": updated,
            "dataUpdated": data_updated,
            "crmData": None if history is None else {"history": {"history": {"2026-11-20": history}}},
        }
    )


def baseline(state: str = "READY", *, history: list[dict[str, Any]] | None = None) -> Baseline:
    """What there was before the upload."""
    return Baseline.of(audience(state, data_updated=BEFORE, updated=BEFORE, history=history))


def ours(**changes: Any) -> Expectation:
    return Expectation(**{"baseline": baseline(), "mode": "opt-in", "rows": 100, **changes})


@pytest.mark.parametrize(
    ("seen", "confirm_by", "verdict"),
    [
        # the state says success
        pytest.param(audience(), "auto", READY, id="new data, no history"),
        pytest.param(audience(history=[]), "auto", READY, id="new data, empty history"),
        pytest.param(audience(history=[entry()]), "auto", READY, id="new data, our upload listed"),
        pytest.param(audience(history=[entry(mode="opt-out")]), "auto", WAITING, id="new data, another mode"),
        pytest.param(audience(history=[entry(rows=99)]), "auto", WAITING, id="new data, another count"),
        pytest.param(
            audience(history=[entry(mode="opt-out"), entry()]),
            "auto",
            READY,
            id="new data, ours among others",
        ),
        pytest.param(audience(data_updated=BEFORE), "auto", WAITING, id="left over from before"),
        pytest.param(audience(data_updated=EARLIER), "auto", WAITING, id="older than before"),
        pytest.param(audience(data_updated=None), "auto", WAITING, id="no data yet"),
        pytest.param(
            audience(data_updated=BEFORE, history=[entry()]),
            "auto",
            WAITING,
            id="listed, but data not updated",
        ),
        pytest.param(audience(), "data_updated", READY, id="data_updated: new data"),
        pytest.param(
            audience(history=[entry(rows=99)]),
            "data_updated",
            READY,
            id="data_updated: history does not matter",
        ),
        pytest.param(audience(data_updated=BEFORE), "data_updated", WAITING, id="data_updated: old data"),
        pytest.param(audience(), "history", WAITING, id="history: none"),
        pytest.param(audience(history=[entry()]), "history", READY, id="history: ours"),
        pytest.param(
            audience(data_updated=None, history=[entry()]),
            "history",
            READY,
            id="history: data date does not matter",
        ),
        pytest.param(audience(history=[entry(rows=99)]), "history", WAITING, id="history: another count"),
        pytest.param(
            audience(history=[entry(created=None)]), "history", WAITING, id="history: without a time"
        ),
        # the state does not
        pytest.param(audience("PROCESSING", history=[entry()]), "auto", WAITING, id="processing"),
        pytest.param(audience("NODATA"), "history", WAITING, id="nodata"),
        pytest.param(audience("RECOUNTING", history=[entry()]), "history", WAITING, id="unknown state"),
        pytest.param(audience(None), "auto", WAITING, id="no state"),
        pytest.param(audience("FAILED"), "auto", FAILED, id="failed"),
        pytest.param(audience("ERROR"), "history", FAILED, id="error"),
        pytest.param(audience("FAILED", data_updated=BEFORE), "auto", FAILED, id="failed without new data"),
    ],
)
def test_what_an_observation_means(seen: Audience, confirm_by: Any, verdict: Verdict) -> None:
    assert judge(seen, ours(confirm_by=confirm_by)).verdict is verdict


@pytest.mark.parametrize(
    ("before", "seen", "verdict"),
    [
        (baseline("FAILED"), audience("FAILED", updated=BEFORE), WAITING),
        (baseline("FAILED"), audience("FAILED", updated=EARLIER), WAITING),
        (baseline("FAILED"), audience("FAILED", updated=None), WAITING),
        (baseline("FAILED"), audience("FAILED", updated=AFTER), FAILED),
        (baseline("FAILED"), audience("ERROR", updated=BEFORE), FAILED),
        (baseline("READY"), audience("FAILED", updated=BEFORE), FAILED),
        (Baseline(), audience("FAILED"), FAILED),
    ],
)
def test_a_failure_left_over_from_before_is_not_ours(
    before: Baseline, seen: Audience, verdict: Verdict
) -> None:
    assert judge(seen, ours(baseline=before)).verdict is verdict


def test_a_failure_left_over_is_followed_by_our_success() -> None:
    assert judge(audience("READY"), ours(baseline=baseline("FAILED"))).verdict is READY


def test_without_a_baseline_any_data_counts() -> None:
    first = Expectation(mode="opt-in", rows=100)

    assert judge(audience(), first).verdict is READY
    assert judge(audience(data_updated=None), first).verdict is WAITING


def test_of_two_uploads_on_a_day_the_earlier_is_not_taken_for_the_later() -> None:
    first = entry(BEFORE)
    after_the_first = ours(baseline=baseline(history=[first]), confirm_by="history")

    assert judge(audience(history=[first]), after_the_first).verdict is WAITING
    second = judge(audience(history=[first, entry(LATER)]), after_the_first)
    assert second.verdict is READY
    assert second.upload is not None
    assert second.upload.created == datetime(2026, 11, 20, 5, tzinfo=timezone.utc)


def test_the_newest_fitting_upload_is_reported() -> None:
    judgement = judge(audience(history=[entry(LATER, rows=1), entry(AFTER), entry(LATER)]), ours())

    assert judgement.upload is not None
    assert (judgement.upload.created, judgement.upload.total_rows) == (
        datetime(2026, 11, 20, 5, tzinfo=timezone.utc),
        100,
    )


@pytest.mark.parametrize("mode", ["OPT-IN", "Opt-In", "opt-in"])
def test_modes_and_states_fit_in_any_case(mode: str) -> None:
    assert judge(audience("Ready", history=[entry(mode=mode)]), ours(confirm_by="history")).verdict is READY
    assert judge(audience("failed"), ours()).verdict is FAILED
    assert judge(audience("Processing"), ours()).known_state


@pytest.mark.parametrize(("mode", "rows"), [(None, None), (None, 100), ("opt-in", None)])
def test_what_is_not_expected_may_be_anything(mode: str | None, rows: int | None) -> None:
    expectation = ours(mode=mode, rows=rows, confirm_by="history")

    assert judge(audience(history=[entry()]), expectation).verdict is READY


@pytest.mark.parametrize(
    ("state", "known"),
    [
        ("NODATA", True),
        ("PROCESSING", True),
        ("RECOUNTING", False),
        (None, False),
        ("READY", True),
        ("FAILED", True),
    ],
)
def test_a_state_that_the_settings_do_not_name_is_unknown(state: str | None, known: bool) -> None:
    assert judge(audience(state), ours()).known_state is known


def test_states_are_settings() -> None:
    expectation = ours(success_states=("DONE",), failure_states=("BAD",), pending_states=("READY",))

    assert judge(audience("DONE"), expectation).verdict is READY
    assert judge(audience("BAD"), expectation).verdict is FAILED
    assert judge(audience("READY"), expectation).verdict is WAITING
    assert judge(audience("FAILED"), expectation).verdict is WAITING


@given(
    st.builds(
        Baseline,
        state=st.none() | st.text(),
        updated=st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(datetime.isoformat),
        data_updated=st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(datetime.isoformat),
        last_upload=st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(datetime.isoformat),
    )
)
def test_a_baseline_survives_the_way_through_a_dictionary(before: Baseline) -> None:
    stored = before.to_dict()

    assert Baseline.from_dict(stored) == before
    assert all(isinstance(value, str) for value in stored.values())


@pytest.mark.parametrize("values", [None, {}, {"something": "else"}])
def test_a_baseline_of_nothing_is_empty(values: Any) -> None:
    assert Baseline.from_dict(values) == Baseline()


def test_a_baseline_holds_what_there_was() -> None:
    before = baseline("READY", history=[entry(EARLIER), entry(BEFORE), entry(None)])

    assert before.to_dict() == {
        "state": "READY",
        "updated": "2026-11-20T03:00:00+00:00",
        "data_updated": "2026-11-20T03:00:00+00:00",
        "last_upload": "2026-11-20T03:00:00+00:00",
    }


def test_a_summary_is_json_with_the_upload_in_the_vendors_words() -> None:
    seen = audience(
        history=[
            {
                **entry(),
                "matchRates": {"EMAIL": 0.5, "PHONE": None},
                "dataSet": {"EMAIL": {"TOTAL": 100, "UNIQUE": 90, "MATCH": 50, "UMATCH": 40, "NOMATCH": 40}},
            }
        ]
    )

    assert summary(seen, judge(seen, ours()).upload) == {
        "audience_id": 7,
        "audience_state": "READY",
        "data_updated": "2026-11-20T04:00:00+00:00",
        "size": None,
        "total_rows": 100,
        "match_rates": {"EMAIL": 0.5, "PHONE": None},
        "data_set": {"EMAIL": {"TOTAL": 100, "UNIQUE": 90, "MATCH": 50, "UMATCH": 40, "NOMATCH": 40}},
    }


def test_a_summary_without_an_upload_has_no_rates() -> None:
    found = summary(audience(), None)

    assert (found["total_rows"], found["match_rates"], found["data_set"]) == (None, {}, {})


def test_match_rates_are_named_as_in_definitions() -> None:
    seen = {"match_rates": {"EMAIL": 0.5, "POSTALADDRESS": None, "SECURITYNUMBER": 0.0, "NEWTYPE": 0.1}}

    assert rates_by_identifier(seen) == {
        "email": 0.5,
        "postal_code": None,
        "personal_id": 0.0,
        "newtype": 0.1,
    }
    assert set(IDENTIFIERS.values()) == set(get_args(RatedIdentifier))
