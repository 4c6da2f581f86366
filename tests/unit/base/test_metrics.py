"""How a value gets to Airflow's metrics, and that no load fails of it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk.observability import stats

from audience_onboarding.base import metrics
from audience_onboarding.base.metrics import (
    API_CALLS,
    API_TIME,
    MAX_AUDIENCE_LENGTH,
    MAX_TAG_LENGTH,
    METRICS,
    ROWS_SENT,
    ApiMetrics,
    fit,
    gauge,
    incr,
    seconds_since,
    timing,
    upload_measured,
)
from tests.statsd import Packet, statsd
from tests.unit.state.helpers import check

LOAD = {"platform": "digital_audience", "audience": "people", "mode": "opt-in"}
RATE = {"platform": "digital_audience", "audience": "people", "identifier": "EMAIL"}
CALL = {"platform": "fanfare", "operation": "get_audience"}


def _forget() -> None:
    metrics._reported.clear()
    metrics._has_legacy_names.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_said() -> Iterator[None]:
    _forget()
    yield
    _forget()


def test_a_value_has_its_tags_and_for_backends_without_them_a_name_that_holds_them() -> None:
    with statsd() as received:
        incr(ROWS_SENT, 3, **LOAD)
        gauge(metrics.MATCH_RATE, 0.61, **RATE)
        timing(metrics.API_TIME, 1.5, **CALL)

        assert received.all() == [
            Packet("audience_onboarding.rows_sent", tuple(LOAD.items()), 3, "c"),
            Packet("audience_onboarding.rows_sent.digital_audience.people.opt-in", (), 3, "c"),
            Packet("audience_onboarding.match_rate", tuple(RATE.items()), 0.61, "g"),
            Packet("audience_onboarding.match_rate.digital_audience.people.EMAIL", (), 0.61, "g"),
            Packet("audience_onboarding.api_time", tuple(CALL.items()), 1500, "ms"),
            Packet("audience_onboarding.api_time.fanfare.get_audience", (), 1500, "ms"),
        ]


def test_legacy_names_alone_or_tags_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "audience_onboarding.rows_sent"
    with statsd(tags=False) as received:
        incr(ROWS_SENT, 3, **LOAD)
        found = [(packet.name, packet.tags) for packet in received.all()]
        assert found == [(name, ()), (f"{name}.digital_audience.people.opt-in", ())]

    monkeypatch.setenv("AIRFLOW__METRICS__LEGACY_NAMES_ON", "False")
    _forget()
    with statsd() as received:
        incr(ROWS_SENT, 3, **LOAD)
        assert [packet.name for packet in received.all()] == [name]


def test_airflows_lists_of_names_hold() -> None:
    for setting, arrive in (
        ({"metrics_allow_list": "audience_onboarding"}, True),
        ({"metrics_allow_list": "scheduler,executor"}, False),
        ({"metrics_block_list": "audience_onboarding"}, False),
        ({"metrics_block_list": "scheduler"}, True),
    ):
        with statsd(**setting) as received:
            incr(ROWS_SENT, 3, **LOAD)

            assert bool(received.ours()) is arrive, setting


def test_a_tag_is_made_to_fit() -> None:
    cases: list[tuple[object, str]] = [
        ("people", "people"),
        ("opt-in", "opt-in"),
        ("a.b", "a_b"),
        ("a,b=c:d|e@f#g", "a_b_c_d_e_f_g"),
        ("Café", "Caf_"),
        ("", "none"),
        (31234, "31234"),
        ("x" * 300, "x" * MAX_TAG_LENGTH),
    ]
    check(lambda value: fit("mode", value), cases)
    # The key of an audience is never cut.
    assert fit("audience", "x" * MAX_AUDIENCE_LENGTH) == "x" * MAX_AUDIENCE_LENGTH


def test_no_metric_is_dropped_for_its_name_or_its_tags() -> None:
    send: Any = {"counter": incr, "gauge": gauge, "timer": timing}
    for metric in METRICS:
        with statsd() as received:
            send[metric.kind](metric, 1, **dict.fromkeys(metric.tags, "ü,=|:.@#" * 100))

            with_tags, without = received.all()
            assert (with_tags.name, set(dict(with_tags.tags))) == (metric.full_name, set(metric.tags))
            assert without.name.startswith(f"{metric.full_name}.")


def test_every_metric_is_listed_once_and_says_when_it_is_sent() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)
    assert all(metric.when and metric.unit and "platform" in metric.tags for metric in METRICS)
    defined = {value for value in vars(metrics).values() if isinstance(value, metrics.Metric)}
    assert defined == set(METRICS)


def test_a_backend_that_fails_is_told_of_once_and_no_load_fails_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(stats, name, fails)

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            incr(ROWS_SENT, 3, **LOAD)
        gauge(metrics.MATCH_RATE, 0.5, **RATE)
        ApiMetrics("fanfare").on_response("get_audience", 200, 0.1)
        incr(metrics.UPLOADED_BYTES, 3, platform="fanfare")

    said = [record.getMessage() for record in caplog.records]
    *said, wrong_tags = said
    assert len(said) == len({ROWS_SENT, metrics.MATCH_RATE, API_CALLS, API_TIME})
    assert said[0] == "audience_onboarding.rows_sent is not measured: OSError: no route to host"
    assert "has the tags platform, audience, mode" in wrong_tags


def test_a_call_is_counted_by_the_class_of_its_status() -> None:
    classes = {200: "2xx", 204: "2xx", 302: "3xx", 404: "4xx", 503: "5xx", None: "none"}
    for status, tag in classes.items():
        with statsd() as received:
            ApiMetrics("fanfare").on_response("get_audience", status, 0.25)

            assert received.sums("api_calls") == {("fanfare", "get_audience", tag): 1}
            assert received.values("api_time") == [(("fanfare", "get_audience"), 250)]


def test_an_upload_that_fails_or_sends_nothing_is_not_measured() -> None:
    with statsd() as received:
        with pytest.raises(OSError, match="gone"), upload_measured(7, **LOAD):
            raise OSError("gone")
        with upload_measured(None, **LOAD):
            pass

        assert received.ours() == []

        with upload_measured(None, **LOAD) as upload:
            upload.size = 7

        assert received.sums("uploaded_bytes") == {tuple(LOAD.values()): 7}


def test_a_duration_counts_from_a_moment() -> None:
    moment = datetime.now(timezone.utc) - timedelta(hours=1)

    seconds = seconds_since(moment.isoformat())

    assert seconds is not None
    assert 3600 <= seconds <= (datetime.now(timezone.utc) - moment).total_seconds()
    check(seconds_since, [(text, None) for text in (None, "", "yesterday", 7, "2026-11-20T03:00:00")])
