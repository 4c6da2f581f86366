"""A creation of which nobody knows whether it came through."""

from __future__ import annotations

import pytest

from tests.e2e.runs import (
    CAMPAIGN,
    LOAD_DATE,
    audiences,
    campaigns,
    clear_and_wait_for_start,
    uploads,
)
from tests.e2e.stack import Stack, vendor_user

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]


def test_an_unclear_creation_stops_until_a_person_settles_it(stack: Stack) -> None:
    dag_id, asset = "onboard_unclear_list", "audience/unclear_list"
    stack.airflow.wait_for_dags(dag_id)
    stack.airflow.unpause(dag_id)
    key = f"assets/{stack.airflow.asset_id(asset)}/state-store/audience"
    # What a worker leaves behind that dies right after it has sent the request.
    intent = {"name": "Audience unclear_list", "at": "2026-11-20T03:00:00+00:00", "run_id": "manual__before"}
    stack.airflow.api(key, method="PUT", json={"value": {"intent": intent}})

    def stopped(run_id: str, *, tries: int) -> None:
        assert stack.airflow.wait_for_run(dag_id, run_id) == "failed"
        log = stack.airflow.log(dag_id, run_id, "ensure_audience", try_number=tries)
        assert "AmbiguousCreateError: It is not clear whether audience 'Audience unclear_list'" in log
        assert audiences(stack, "Audience unclear_list") == []

    run_id = stack.airflow.trigger(dag_id, {"load_date": LOAD_DATE})
    stopped(run_id, tries=1)
    clear_and_wait_for_start(stack, dag_id, run_id)
    stopped(run_id, tries=2)
    # A person finds it in the portal, and settles it in the way that the message names.
    (campaign,) = campaigns(stack, CAMPAIGN)
    ask = vendor_user(stack.sandbox)
    created = ask("/audience/createcrmaudience", name="by hand", campaignId=campaign)
    stack.airflow.api(key, method="PUT", json={"value": {"id": created["id"]}})
    clear_and_wait_for_start(stack, dag_id, run_id)
    assert stack.airflow.wait_for_run(dag_id, run_id) == "success"
    assert len(uploads(stack, created["id"])) == 1
    assert audiences(stack, "Audience unclear_list") == []
