"""State that Airflow deleted, as it does while no DAG names the asset: the next load stops before it creates."""

from __future__ import annotations

import pytest

from tests.e2e.runs import audiences, campaigns, finish
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

KEY = "lost_list"
DAG_ID = f"onboard_{KEY}"
ASSET = f"audience/{KEY}"
CAMPAIGN = f"Campaign {KEY}"


def test_a_load_after_its_state_was_deleted_creates_nothing(stack: Stack) -> None:
    finish(stack, DAG_ID, {"load_date": "2026-11-20"})
    (audience_id,) = audiences(stack, f"Audience {KEY}")
    for name in (ASSET, f"campaign/digital_audience_default/{CAMPAIGN}"):
        for key in stack.airflow.asset_state(name):
            stack.airflow.api(f"assets/{stack.airflow.asset_id(name)}/state-store/{key}", method="DELETE")

    run_id = stack.airflow.trigger(DAG_ID, {"load_date": "2026-11-21"})

    assert stack.airflow.wait_for_run(DAG_ID, run_id) == "failed"
    log = stack.airflow.log(DAG_ID, run_id, "lookup_audience")
    assert (
        f"StateLostError: The stored state is gone, but the audience was loaded before, with id {audience_id}"
        in log
    )
    assert len(campaigns(stack, CAMPAIGN)) == 1
    assert audiences(stack, f"Audience {KEY}") == [audience_id]
