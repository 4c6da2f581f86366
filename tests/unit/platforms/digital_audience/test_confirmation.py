"""When an audience has taken in our upload: the whole table."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from audience_onboarding.platforms.digital_audience.confirmation import (
    IDENTIFIERS,
    Baseline,
    Expectation,
    Verdict,
    evaluate,
    rates_by_identifier,
    summary,
)
from audience_onboarding.platforms.digital_audience.definition import ConfirmationRules
from audience_onboarding.platforms.digital_audience.models import Audience
from audience_onboarding.state.match_rates import RatedIdentifier
from tests.unit.platforms.cases import every_case

EARLIER = "2026-11-20T02:00:00Z"
BEFORE = "2026-11-20T03:00:00Z"
AFTER = "2026-11-20T04:00:00Z"
LATER = "2026-11-20T05:00:00Z"

STATES = ("NODATA", "PROCESSING", "Processing", "READY", "FAILED")
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
    names = ConfirmationRules.model_fields
    rules = {name: changes.pop(name) for name in [*changes] if name in names}
    values: dict[str, Any] = {"baseline": baseline(), "mode": "opt-in", "rows": 100, **changes}
    return Expectation(**values, rules=ConfirmationRules(**rules))


def test_what_an_observation_means() -> None:
    other_mode, other_count, no_time = entry(mode="opt-out"), entry(rows=99), entry(created=None)
    table: dict[str, list[tuple[str, Audience, Verdict]]] = {
        "auto": [
            # The state says success.
            ("new data, no history", audience(), READY),
            ("new data, empty history", audience(history=[]), READY),
            ("new data, our upload listed", audience(history=[entry()]), READY),
            ("new data, another mode", audience(history=[other_mode]), WAITING),
            ("new data, another count", audience(history=[other_count]), WAITING),
            ("new data, ours among others", audience(history=[other_mode, entry()]), READY),
            ("left over from before", audience(data_updated=BEFORE), WAITING),
            ("older than before", audience(data_updated=EARLIER), WAITING),
            ("no data yet", audience(data_updated=None), WAITING),
            ("listed, old data", audience(data_updated=BEFORE, history=[entry()]), WAITING),
            # The state does not.
            ("processing", audience("PROCESSING", history=[entry()]), WAITING),
            ("no state", audience(None), WAITING),
            ("failed", audience("FAILED"), FAILED),
            ("failed without new data", audience("FAILED", data_updated=BEFORE), FAILED),
        ],
        "data_updated": [
            ("new data", audience(), READY),
            ("history does not matter", audience(history=[other_count]), READY),
            ("old data", audience(data_updated=BEFORE), WAITING),
        ],
        "history": [
            ("none", audience(), WAITING),
            ("ours", audience(history=[entry()]), READY),
            ("data date does not matter", audience(data_updated=None, history=[entry()]), READY),
            ("another count", audience(history=[other_count]), WAITING),
            ("without a time", audience(history=[no_time]), WAITING),
            ("nodata", audience("NODATA"), WAITING),
            ("unknown state", audience("RECOUNTING", history=[entry()]), WAITING),
            ("error", audience("ERROR"), FAILED),
        ],
    }
    with every_case() as case:
        for confirm_by, rows in table.items():
            for name, seen, verdict in rows:
                with case(f"{confirm_by}: {name}"):
                    assert evaluate(seen, ours(confirm_by=confirm_by)).verdict is verdict


def test_a_failure_left_over_from_before_is_not_ours() -> None:
    with every_case() as case:
        for before, seen, verdict in (
            (baseline("FAILED"), audience("FAILED", updated=BEFORE), WAITING),
            (baseline("FAILED"), audience("FAILED", updated=EARLIER), WAITING),
            (baseline("FAILED"), audience("FAILED", updated=None), WAITING),
            (baseline("FAILED"), audience("FAILED", updated=AFTER), FAILED),
            (baseline("FAILED"), audience("ERROR", updated=BEFORE), FAILED),
            (baseline("FAILED"), audience("READY"), READY),
            (baseline("READY"), audience("FAILED", updated=BEFORE), FAILED),
            (Baseline(), audience("FAILED"), FAILED),
        ):
            with case((before, seen)):
                assert evaluate(seen, ours(baseline=before)).verdict is verdict


def test_without_a_baseline_any_data_counts() -> None:
    first = Expectation(mode="opt-in", rows=100)

    assert evaluate(audience(), first).verdict is READY
    assert evaluate(audience(data_updated=None), first).verdict is WAITING


def test_of_two_uploads_on_a_day_the_earlier_is_not_taken_for_the_later() -> None:
    first = entry(BEFORE)
    after_the_first = ours(baseline=baseline(history=[first]), confirm_by="history")

    assert evaluate(audience(history=[first]), after_the_first).verdict is WAITING
    second = evaluate(audience(history=[first, entry(LATER)]), after_the_first)
    assert second.verdict is READY
    assert second.upload is not None
    assert second.upload.created == datetime(2026, 11, 20, 5, tzinfo=timezone.utc)


def test_the_newest_fitting_upload_is_reported() -> None:
    evaluation = evaluate(audience(history=[entry(LATER, rows=1), entry(AFTER), entry(LATER)]), ours())

    assert evaluation.upload is not None
    assert (evaluation.upload.created, evaluation.upload.total_rows) == (
        datetime(2026, 11, 20, 5, tzinfo=timezone.utc),
        100,
    )


def test_modes_and_states_fit_in_any_case_and_missing_expectations_fit_all() -> None:
    with every_case() as case:
        for listed in ("OPT-IN", "Opt-In", "opt-in"):
            with case(listed):
                seen = audience("Ready", history=[entry(mode=listed)])
                assert evaluate(seen, ours(confirm_by="history")).verdict is READY
        for mode, rows in ((None, None), (None, 100), ("opt-in", None)):
            with case((mode, rows)):
                expectation = ours(mode=mode, rows=rows, confirm_by="history")
                assert evaluate(audience(history=[entry()]), expectation).verdict is READY
    assert evaluate(audience("failed"), ours()).verdict is FAILED


def test_a_state_that_the_settings_do_not_name_is_unknown() -> None:
    known = {name: evaluate(audience(name), ours()).known_state for name in (*STATES, "RECOUNTING", None)}

    assert known == {**dict.fromkeys(STATES, True), "RECOUNTING": False, None: False}


def test_states_are_settings() -> None:
    expectation = ours(success_states=("DONE",), failure_states=("BAD",), pending_states=("READY",))

    assert evaluate(audience("DONE"), expectation).verdict is READY
    assert evaluate(audience("BAD"), expectation).verdict is FAILED
    assert evaluate(audience("READY"), expectation).verdict is WAITING
    assert evaluate(audience("FAILED"), expectation).verdict is WAITING


moments = st.none() | st.datetimes(timezones=st.just(timezone.utc)).map(datetime.isoformat)


@given(
    st.builds(
        Baseline, state=st.none() | st.text(), updated=moments, data_updated=moments, last_upload=moments
    )
)
def test_a_baseline_survives_the_way_through_a_dictionary(before: Baseline) -> None:
    stored = before.to_dict()

    assert Baseline.from_dict(stored) == before
    assert all(isinstance(value, str) for value in stored.values())


def test_a_baseline_of_nothing_is_empty() -> None:
    assert [Baseline.from_dict(values) for values in (None, {}, {"something": "else"})] == [Baseline()] * 3


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

    assert summary(seen, evaluate(seen, ours()).upload) == {
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
