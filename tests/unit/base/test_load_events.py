"""The lines that a log pipeline reads: an event's name, and its numbers as fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from audience_onboarding.base import load_events
from audience_onboarding.base.load_events import CONFIRMED, FIELDS, LOAD_LABELS, READ, SENT, log_event
from audience_onboarding.state.store import audience_asset
from tests.fakes import AssetStores, task_context
from tests.unit.base.plain import HOST, PlainOnboardOperator

COUNTS = {"rows_read": 5, "rows_sent": 3, "duplicates": 1, "rejected": 1}
TOLD = {"load_date": "2026-11-20", "mode": "opt-in", **COUNTS, "audience_id": 7, "uploaded": True}
OTHERS = {"rejected_by_reason": {"invalid_email": 1}, "rejects_file": None, "baseline": {"state": "READY"}}


def test_a_line_holds_its_fields_and_nothing_else() -> None:
    load = {**TOLD, "content_id": "c" * 64, **OTHERS, "source": "s3://crm/2026-11-20.csv"}
    run = {"platform": "fanfare", "audience": "people", "dag_id": "onboard_people", "run_id": "manual__1"}

    with capture_logs() as lines:
        log_event(SENT, load, **run)

    assert lines == [{"event": "load sent", "log_level": "info", **run, **TOLD, "content_id": "c" * 64}]


def test_every_event_has_its_load_and_its_counts() -> None:
    assert set(FIELDS) == {READ, SENT, CONFIRMED}
    for fields in FIELDS.values():
        assert set(fields) >= {*COUNTS, "content_id"}
        assert not set(fields) & {*LOAD_LABELS, "event", "level", "logger", "timestamp"}


def test_an_operator_logs_the_load_that_it_reads_and_sends(
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
    assert load_events.LOGGER.startswith("audience_onboarding")
