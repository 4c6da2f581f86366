"""The lines that a log pipeline reads: an event's name, and its numbers as fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audience_onboarding.orchestration import events
from audience_onboarding.orchestration.events import CONFIRMED, FIELDS, READ, SENT, WHICH, tell
from audience_onboarding.orchestration.memory import audience_asset
from tests.fakes import AssetStores, task_context
from tests.unit.base.plain import HOST, PlainOnboardOperator

LOAD = {
    "load_date": "2026-11-20",
    "mode": "opt-in",
    "rows_read": 5,
    "rows_sent": 3,
    "duplicates": 1,
    "rejected": 1,
    "rejected_by_reason": {"invalid_email": 1},
    "content_id": "c" * 64,
    "audience_id": 7,
    "uploaded": True,
    "rejects_file": None,
    "baseline": {"state": "READY"},
    "source": "s3://crm/2026-11-20.csv",
}


def test_a_line_holds_its_fields_and_nothing_else() -> None:
    with capture_logs() as lines:
        tell(SENT, LOAD, platform="fanfare", audience="people", dag_id="onboard_people", run_id="manual__1")

    assert lines == [
        {
            "event": "load sent",
            "log_level": "info",
            "platform": "fanfare",
            "audience": "people",
            "load_date": "2026-11-20",
            "mode": "opt-in",
            "dag_id": "onboard_people",
            "run_id": "manual__1",
            "rows_read": 5,
            "rows_sent": 3,
            "duplicates": 1,
            "rejected": 1,
            "audience_id": 7,
            "uploaded": True,
            "content_id": "c" * 64,
        }
    ]


@pytest.mark.parametrize("event", [READ, SENT, CONFIRMED])
def test_every_event_tells_which_load_it_is_and_its_counts(event: str) -> None:
    assert set(FIELDS[event]) >= {"rows_read", "rows_sent", "duplicates", "rejected", "content_id"}
    assert not set(FIELDS[event]) & {*WHICH, "event", "level", "logger", "timestamp"}
    assert set(FIELDS) == {READ, SENT, CONFIRMED}


def test_an_operator_tells_what_it_reads_and_what_it_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("E-mail\nanna@example.com\nno address\n", encoding="utf-8")
    stores, asset = AssetStores(), audience_asset("plain", "people")
    stores[asset].values["audience"] = {"id": "t-7", "account": HOST}
    for call in ("send_list", "state_of"):
        monkeypatch.setattr(f"tests.unit.base.plain.PlainClient.{call}", lambda *_: "ready")
    monkeypatch.setenv(
        "AIRFLOW_CONN_PLAIN_DEFAULT", f'{{"conn_type": "plain", "host": "{HOST}", "password": "sk_test_1"}}'
    )
    operator = PlainOnboardOperator(
        task_id="upload", source=str(path), columns={"email": "E-mail"}, load_date="2026-11-20", asset=asset
    )

    with capture_logs() as lines:
        operator.execute(task_context(stores=stores))

    read, sent = (line for line in lines if line["event"] in {READ, SENT})
    for line in (read, sent):
        assert (line["platform"], line["audience"], line["dag_id"]) == ("plain", "people", "a_dag")
        assert (line["rows_read"], line["rows_sent"], line["rejected"]) == (2, 1, 1)
    assert read["rejected_by_reason"] == {"invalid_email": 1}
    assert "uploaded" not in read
    assert "anna" not in str(lines)
    assert events.LOGGER.startswith("audience_onboarding")
