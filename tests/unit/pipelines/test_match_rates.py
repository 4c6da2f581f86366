"""Match rates in the onboarding DAG: judged when a load is recorded, enforced when it is published."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from audience_onboarding import __version__
from audience_onboarding.base.failure_xcom import push_failure
from tests.fakes import AssetStores, task_context
from tests.notifiers import Kept
from tests.unit.pipelines.conftest import onboarding, run_task
from tests.unit.pipelines.test_onboard import LOAD, SEEN

LIMITS = {"min_rate": {"email": 0.4}, "min_history": 1}
RATE = "{{ audience_onboarding.numbers.rates.email }}"
ALERTS = {"notifier": "tests.notifiers.Kept", "arguments": {"more": RATE}}


class Runs:
    """Runs of one audience."""

    def __init__(self, **changes: Any) -> None:
        self.dag = onboarding(**{"match_rates": LIMITS, "alerts": ALERTS, **changes})
        self.stores = AssetStores()
        self.context: dict[str, Any] = {}

    def record(self, email: float | None, *, run_id: str = "r", **load: Any) -> dict[str, Any]:
        """Record a load."""
        params = {"activate_on_backfill": False, "ignore_match_rates": load.pop("ignored", False)}
        self.context = task_context(stores=self.stores, run_id=run_id, **params)
        seen = {**SEEN, "total_rows": 900, "match_rates": {"EMAIL": email, "PHONE": None}}
        found: dict[str, Any] = run_task(self.dag, "record_load", self.context, {**LOAD, **load}, seen)
        return found

    @property
    def store(self) -> dict[str, Any]:
        """The values in the store of the audience."""
        return self.stores.stores["audience/newsletter"].values


@pytest.fixture(autouse=True)
def _no_message_yet() -> None:
    Kept.told.clear()


def test_a_load_is_judged_and_remembered() -> None:
    runs = Runs()
    runs.record(0.6, load_date="2026-11-19")

    found = runs.record(0.59)["watch"]

    assert found["rates"] == {"email": 0.59, "phone": None}
    assert (found["means"], found["findings"], found["stops"]) == ({"email": 0.6}, [], False)
    assert [entry["load_date"] for entry in runs.store["match_rates.opt-in"]] == ["2026-11-19", "2026-11-20"]
    assert runs.store["last_load"]["watch"] == found
    assert Kept.told == []


def test_a_warning_is_logged_told_and_published(caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs()

    found = runs.record(0.3)

    assert "match_rates.min_rate: 30% of email match" in caplog.text
    (message,) = Kept.told
    assert (message.subject, message.more) == ("Newsletter: low match rates (2026-11-20)", "0.3")
    assert "match_rates.min_rate: 30% of email match" in message.text
    assert not found["watch"]["stops"]


def test_a_stopped_load_is_recorded_and_not_published() -> None:
    runs = Runs(match_rates={**LIMITS, "on_violation": "fail"})
    found = runs.record(0.3)

    assert runs.store["last_load"] == found
    # The failure alert of the DAG reports it.
    assert Kept.told == []
    with pytest.raises(AirflowFailException, match=r"^MatchRateError: .*30% of email match"):
        run_task(runs.dag, "publish_load", runs.context, found)


def test_a_run_may_let_it_through(caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs(match_rates={**LIMITS, "on_violation": "fail"})

    found = runs.record(0.3, ignored=True)

    assert (found["watch"]["ignored"], found["watch"]["stops"]) == (True, False)
    assert "Ignored: match_rates.min_rate" in caplog.text
    assert Kept.told == []


def test_without_a_share_from_the_vendor_the_rows_that_were_sent_count() -> None:
    for from_rows, is_judged in ((901, False), (900, True)):
        runs = Runs(match_rates={**LIMITS, "min_rows": from_rows})
        assert runs.record(0.3)["watch"]["judged"] is is_judged


def test_a_range_of_days_is_no_measure() -> None:
    runs = Runs()

    runs.record(0.6, range_start="2026-11-01")

    assert "match_rates.opt-in" not in runs.store


def test_the_form_lets_match_rates_be_ignored_if_there_are_limits() -> None:
    assert "ignore_match_rates" not in onboarding().params
    assert onboarding(match_rates={}).params.get_param("ignore_match_rates").value is False


def test_the_record_has_the_outcome() -> None:
    for load, outcome in (
        ({"uploaded": True}, "confirmed"),
        # A try has found the file of an earlier try of the run.
        ({"uploaded": False}, "confirmed"),
        # Nothing has changed since the day before.
        ({"uploaded": False, "confirmed": {}}, "unchanged"),
    ):
        found = Runs().record(0.6, **load)

        assert found["outcome"] == outcome, load
        assert (found["audience_key"], found["platform"]) == ("newsletter", "digital_audience")
        assert (found["connection"], found["package_version"]) == ("digital_audience_default", __version__)
        assert found["ended_at"]


def test_a_load_that_is_there_already_is_unchanged_in_another_run_and_not_in_its_own() -> None:
    runs = Runs()
    runs.record(0.6, run_id="first")

    assert runs.record(0.6, run_id="first", uploaded=False, confirmed={})["outcome"] == "confirmed"
    assert runs.record(0.6, run_id="second", uploaded=False)["outcome"] == "unchanged"
    assert runs.record(0.6, run_id="third", uploaded=False, content_id="other")["outcome"] == "confirmed"


def test_every_task_notes_why_it_has_failed() -> None:
    for task in onboarding(audit={"conn_id": "dwh"}).tasks:
        assert task.on_failure_callback[0] is push_failure


def test_the_page_of_the_dag_explains_all_of_it() -> None:
    page = onboarding(
        match_rates={"min_rate": {"email": 0.4}, "max_rows_deviation": 0.5, "on_violation": "fail"},
        alerts={**ALERTS, "late_after_hours": 26},
        audit={"conn_id": "dwh"},
        guards={"min_rows": 10, "max_row_drop": None},
    ).doc_md
    for part in (
        "| guards | `min_rows` 10, `max_row_drop` off; defaults for the others |",
        "| match rates | email at least 0.4; at most 0.2 below the mean of the last 7 loads; rows within 0.5 of it; "
        "a violation blocks the activation |",
        "| alerts | failure, guard, late (after 26 hours), match rate by `Kept` |",
        "| audit | one row per run in `audience_onboarding_audit`, connection `dwh` |",
        *("*Overwrite*", "**Dry run**", "**Backfill**", "*Ignore guards*", "*Ignore match rates*"),
        "--dag-id onboard_newsletter",
    ):
        assert part in (page or "")
    plain = onboarding().doc_md or ""
    assert "| match rates | recorded only |" in plain
    assert "| guards | defaults |" in plain
    assert "Ignore match rates" not in plain
