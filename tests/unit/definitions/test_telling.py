"""Alerts, match rates and audit in a definition."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audience_onboarding.definitions import AudienceDefinition, read_definition
from audience_onboarding.definitions.models import ALERT_EVENTS
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from tests.unit.definitions.conftest import changed, misread

Write = Callable[..., Path]
NOTIFIER = "our.notifiers.Notifier"


def read(write: Write, **changes: Any) -> DigitalAudienceDefinition:
    definition = read_definition(write(changed(**changes)))
    assert isinstance(definition, DigitalAudienceDefinition)
    return definition


def test_alerts_match_rates_and_audit_are_off_by_default(write: Write) -> None:
    definition = read(write)

    assert (definition.alerts, definition.match_rates, definition.audit) == ((), None, None)


def test_one_alert_or_several(write: Write) -> None:
    one = {
        "notifier": NOTIFIER,
        "arguments": {"to": ["a"], "text": "{{ audience_onboarding.text }}", "n": {"x": 1}},
    }

    (alone,) = read(write, alerts=one).alerts
    first, second = read(
        write, alerts=[one, {"notifier": NOTIFIER, "events": ["late"], "late_after_hours": 2}]
    ).alerts

    assert alone == first
    assert (alone.events, alone.late_after_hours, alone.arguments) == (ALERT_EVENTS, None, one["arguments"])
    assert (second.events, second.late_after_hours, second.arguments) == (("late",), 2, {})


def test_an_editor_knows_that_it_may_be_one_or_several() -> None:
    schema = AudienceDefinition.model_json_schema()["properties"]["alerts"]

    assert [option.get("type", "$ref") for option in schema["anyOf"]] == ["$ref", "array"]


def test_match_rates_have_defaults(write: Write) -> None:
    watched = read(write, match_rates={}).match_rates

    assert watched is not None
    assert (watched.window, watched.min_history, watched.max_drop, watched.min_rows) == (7, 3, 0.2, 100)
    assert (watched.min_rates, watched.max_rows_deviation, watched.on_violation) == ({}, None, "warn")


def test_a_floor_is_one_for_all_or_one_each(write: Write) -> None:
    columns = {"email": "E", "phone": "P"}

    def floors(floor: Any) -> dict[str, float]:
        watched = read(write, match_rates={"min_rate": floor}, source__columns=columns).match_rates
        assert watched is not None
        return watched.min_rates

    assert floors(0.3) == dict.fromkeys(("email", "phone", "postal_code", "personal_id", "aaid"), 0.3)
    assert floors({"phone": 0}) == {"phone": 0}


def test_an_audit_has_defaults(write: Write) -> None:
    audit = read(write, audit={"conn_id": "dwh"}).audit

    assert audit is not None
    assert (audit.conn_id, audit.table, audit.create) == ("dwh", "audience_onboarding_audit", False)
    assert read(write, audit={"conn_id": "dwh", "table": "a.b.c"}).audit


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"alerts": {}}, "alerts[0].notifier: "),
    ({"alerts": {"notifier": "SmtpNotifier"}}, "alerts[0].notifier: "),
    ({"alerts": {"notifier": "a..b"}}, "alerts[0].notifier: "),
    ({"alerts": {"notifier": "a.b; c"}}, "alerts[0].notifier: "),
    ({"alerts": NOTIFIER}, "alerts: "),
    ({"alerts": {"notifier": NOTIFIER, "events": []}}, "alerts[0].events: "),
    ({"alerts": {"notifier": NOTIFIER, "events": ["success"]}}, "alerts[0].events[0]: "),
    ({"alerts": {"notifier": NOTIFIER, "to": "x"}}, "alerts[0].to: "),
    ({"alerts": {"notifier": NOTIFIER, "arguments": ["x"]}}, "alerts[0].arguments: "),
    ({"alerts": {"notifier": NOTIFIER, "late_after_hours": 0}}, "alerts[0].late_after_hours: "),
    (
        {"alerts": {"notifier": NOTIFIER, "events": ["guard"], "late_after_hours": 5}},
        "alerts[0]: 'late_after_hours' is only valid with 'late' in 'events'",
    ),
    (
        {"alerts": {"notifier": NOTIFIER, "events": ["late"]}},
        "alerts[0]: 'late' needs 'late_after_hours', the hours after the run was queued",
    ),
    ({"match_rates": {"min_rate": 40}}, "match_rates.min_rate"),
    ({"match_rates": {"min_rate": {"mail": 0.4}}}, "match_rates.min_rate"),
    (
        {"match_rates": {"min_rate": {"phone": 0.4}}},
        "match_rates.min_rate: 'source.columns' has no 'phone'",
    ),
    ({"match_rates": {"window": 0}}, "match_rates.window: "),
    ({"match_rates": {"window": 61}}, "match_rates.window: "),
    ({"match_rates": {"window": 2}}, "match_rates: 'min_history' must not be more than 'window'"),
    ({"match_rates": {"max_drop": 20}}, "match_rates.max_drop: must be between 0 and 1"),
    ({"match_rates": {"max_rows_deviation": 0}}, "match_rates.max_rows_deviation: "),
    ({"match_rates": {"max_rows_deviation": float("inf")}}, "match_rates.max_rows_deviation: "),
    ({"match_rates": {"then": "stop"}}, "match_rates.then: "),
    ({"audit": {}}, "audit.conn_id: "),
    ({"audit": {"conn_id": "dwh", "table": "runs; DROP TABLE runs"}}, "audit.table: "),
    ({"audit": {"conn_id": "dwh", "table": "1a"}}, "audit.table: "),
    ({"audit": {"conn_id": "dwh", "table": "a.b.c.d"}}, "audit.table: "),
    ({"audit": {"conn_id": "dwh", "table": ""}}, "audit.table: "),
]


def test_errors_name_the_field(write: Write) -> None:
    problems = misread(write, [(changes, re.escape(said)) for changes, said in WRONG])
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("platform", ["fanfare", "commbox"])
def test_platforms_without_match_rates_cannot_watch_them(write: Write, platform: str) -> None:
    content = {
        "platform": platform,
        "name": "x",
        "owner": "x",
        "allow_unhashed": True,
        "source": {"path": "x.csv", "columns": {"phone": "P"}},
    }
    read_definition(write(content))

    with pytest.raises(
        DefinitionError, match=f"match_rates: not supported, because {platform} reports no match rates"
    ):
        read_definition(write({**content, "match_rates": {}}))
