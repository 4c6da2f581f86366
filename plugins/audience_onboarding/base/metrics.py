"""What is measured, and how it gets to Airflow's metrics (StatsD, Datadog or OpenTelemetry, as ``[metrics]`` says).

All metrics of the package are in :data:`METRICS`; docs/reference/observability.md has the same list. No tag ever
holds a person's data: the tag `audience` is the key of the definition, or the vendor's id where an operator is used
without a definition.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cache
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "audience_onboarding"

LONGEST_TAG = 24
"""Characters of a tag's value. With InfluxDB's tags, which Airflow puts into the name, a name longer than 250 would be
dropped."""

LONGEST_AUDIENCE = 100
"""Characters of an audience's key, the one value that people choose; no key is longer."""

_UNFIT = re.compile(r"[^A-Za-z0-9_/-]")
"""A dot is the border of two parts of a name in StatsD, and the others would make Airflow drop the whole metric."""


class MetricType(str, Enum):
    """What one does with the values of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"


@dataclass(frozen=True)
class Metric:
    """One metric.

    :param name: without the prefix.
    :param unit: of its values.
    :param tags: names of its tags, in the order of the legacy name.
    :param when: it is sent.
    """

    name: str
    kind: MetricType
    unit: str
    tags: tuple[str, ...]
    when: str

    @property
    def full_name(self) -> str:
        """As Airflow is told it; Airflow puts its own prefix (``airflow.``) before it."""
        return f"{PREFIX}.{self.name}"

    def legacy_name(self, tags: Mapping[str, str]) -> str:
        """The name with the values of the tags in it, for backends without tags."""
        return ".".join([self.full_name, *(tags[name] for name in self.tags)])


_LOAD = ("platform", "audience", "mode")

LOADS = Metric(
    "loads",
    MetricType.COUNTER,
    "loads",
    (*_LOAD, "outcome"),
    "a task that sends a list has succeeded: `outcome` is `sent`, or `unchanged` if nothing was sent",
)
ROWS_READ = Metric("rows_read", MetricType.COUNTER, "rows", _LOAD, "with `loads`, for a sent list")
ROWS_SENT = Metric("rows_sent", MetricType.COUNTER, "rows", _LOAD, "with `loads`, for a sent list")
ROWS_DUPLICATE = Metric(
    "rows_duplicate", MetricType.COUNTER, "rows", _LOAD, "with `loads`, for a sent list; not if 0"
)
ROWS_REJECTED = Metric(
    "rows_rejected",
    MetricType.COUNTER,
    "rows",
    (*_LOAD, "reason"),
    "with `loads`, for a sent list; not if 0. `reason` is a code of docs/reference/identifiers.md",
)
GUARD_FAILURES = Metric(
    "guard_failures",
    MetricType.COUNTER,
    "failed guards",
    (*_LOAD, "guard"),
    "a guard has failed a load; once per failed guard. Not in a dry run, nor if guards are ignored",
)
AMBIGUOUS_CREATES = Metric(
    "ambiguous_creates",
    MetricType.COUNTER,
    "creates",
    ("platform", "audience", "kind"),
    "a task has failed because the creation of a `campaign`, `audience` or `segment` is ambiguous",
)
UPLOADED_BYTES = Metric(
    "uploaded_bytes", MetricType.COUNTER, "bytes", _LOAD, "a file was uploaded to S3 or sent to the vendor"
)
UPLOAD_TIME = Metric(
    "upload_time",
    MetricType.TIMER,
    "ms",
    _LOAD,
    "with `uploaded_bytes`: duration of the upload, hashing included",
)
CONFIRMATION_TIME = Metric(
    "confirmation_time",
    MetricType.TIMER,
    "ms",
    ("platform", "audience"),
    "the vendor has confirmed a load of this run: the time since it was sent",
)
MATCH_RATE = Metric(
    "match_rate",
    MetricType.GAUGE,
    "ratio, 0 to 1",
    ("platform", "audience", "identifier"),
    "the vendor has confirmed a load and reports the ratio of matched identifiers",
)
POLLS = Metric(
    "polls",
    MetricType.COUNTER,
    "polls",
    ("platform", "result"),
    "a deferred wait has polled the vendor: `pending`, `done`, `failed`, or `error` if the poll itself failed. Sent "
    "by the triggerer",
)
API_CALLS = Metric(
    "api_calls",
    MetricType.COUNTER,
    "calls",
    ("platform", "operation", "status"),
    "a call to the vendor has ended: `status` is `2xx` to `5xx`, or `none` without a complete answer",
)
API_TIME = Metric(
    "api_time",
    MetricType.TIMER,
    "ms",
    ("platform", "operation"),
    "with `api_calls`: from sending to the answer, with retries, without the first wait for the rate limit",
)
API_RETRIES = Metric(
    "api_retries",
    MetricType.COUNTER,
    "requests",
    ("platform", "operation"),
    "a request is repeated within the same call, after a network error or a 502, 503 or 504",
)
API_THROTTLE_TIME = Metric(
    "api_throttle_time",
    MetricType.TIMER,
    "ms",
    ("platform", "limit"),
    "a request has waited for the rate limit of the connection (`connection`) or the vendor (`vendor`); not if 0",
)
LOGINS = Metric(
    "logins",
    MetricType.COUNTER,
    "logins",
    ("platform", "outcome"),
    "a login has ended: `ok`, `refused`, or `broken` without a usable answer",
)

METRICS = (
    LOADS,
    ROWS_READ,
    ROWS_SENT,
    ROWS_DUPLICATE,
    ROWS_REJECTED,
    GUARD_FAILURES,
    AMBIGUOUS_CREATES,
    UPLOADED_BYTES,
    UPLOAD_TIME,
    CONFIRMATION_TIME,
    MATCH_RATE,
    POLLS,
    API_CALLS,
    API_TIME,
    API_RETRIES,
    API_THROTTLE_TIME,
    LOGINS,
)
"""All metrics of the package."""

_said: set[str] = set()


def incr(metric: Metric, number: int = 1, /, **tags: object) -> None:
    """Add to a counter."""
    _send(metric, "incr", number, tags)


def gauge(metric: Metric, value: float, /, **tags: object) -> None:
    """Set a gauge."""
    _send(metric, "gauge", value, tags)


def timing(metric: Metric, seconds: float, /, **tags: object) -> None:
    """Tell a duration."""
    # A number would be taken for milliseconds.
    _send(metric, "timing", timedelta(seconds=max(0.0, seconds)), tags)


@contextmanager
def upload_measured(size: int | None, /, **tags: object) -> Iterator[Upload]:
    """Measure an upload, if it ends well and something was sent.

    :param size: in bytes; ``None`` where only the upload itself tells.
    """
    upload = Upload(size)
    started = time.monotonic()
    yield upload
    if upload.size is not None:
        incr(UPLOADED_BYTES, upload.size, **tags)
        timing(UPLOAD_TIME, time.monotonic() - started, **tags)


@dataclass
class Upload:
    """An upload that is measured.

    :param size: in bytes; ``None``: nothing was sent, or nobody knows how much.
    """

    size: int | None


def seconds_since(moment: object) -> float | None:
    """Seconds since a moment, ``None`` where it is none.

    :param moment: ISO 8601, with time zone.
    """
    try:
        return (datetime.now(timezone.utc) - datetime.fromisoformat(str(moment))).total_seconds()
    except (TypeError, ValueError):
        return None


def fit(name: str, value: object) -> str:
    """A tag's value as every backend takes it."""
    longest = LONGEST_AUDIENCE if name == "audience" else LONGEST_TAG
    return _UNFIT.sub("_", str(value))[:longest] or "none"


class ApiMetrics:
    """Measures a client's exchanges: an :class:`~audience_onboarding.http.ClientObserver`.

    :param platform: whose client it is.
    """

    def __init__(self, platform: str) -> None:
        self.platform = platform

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        """A request has ended."""
        kind = "none" if status is None else f"{status // 100}xx"
        incr(API_CALLS, platform=self.platform, operation=operation, status=kind)
        timing(API_TIME, seconds, platform=self.platform, operation=operation)

    def on_retry(self, operation: str) -> None:
        """A request is sent once more."""
        incr(API_RETRIES, platform=self.platform, operation=operation)

    def on_throttle(self, limit: str, seconds: float) -> None:
        """A request has waited for its turn."""
        timing(API_THROTTLE_TIME, seconds, platform=self.platform, limit=limit)

    def on_login(self, outcome: str) -> None:
        """A login has ended."""
        incr(LOGINS, platform=self.platform, outcome=outcome)


@cache
def _has_legacy_names() -> bool:
    """Read once for a process, as Airflow does for its own: it takes longer than to send a value."""
    from airflow.sdk.configuration import conf

    return bool(conf.getboolean("metrics", "legacy_names_on", fallback=True))


def _send(metric: Metric, how: str, value: Any, tags: Mapping[str, object]) -> None:
    """Hand it to Airflow. Whatever goes wrong in there, no load fails of it."""
    try:
        # Here, as a DAG file has no use for it.
        from airflow.sdk.observability import stats

        if set(tags) != set(metric.tags):
            raise ValueError(f"{metric.name} has the tags {', '.join(metric.tags)}")
        fitting = {name: fit(name, tags[name]) for name in metric.tags}
        send = getattr(stats, how)
        send(metric.full_name, value, tags=fitting)
        # As Airflow does with its own: for StatsD without tags, where a gauge of several audiences says nothing.
        if _has_legacy_names():
            send(metric.legacy_name(fitting), value)
    except Exception as error:
        if metric.name not in _said:
            _said.add(metric.name)
            log.warning("%s is not measured: %s: %s", metric.full_name, type(error).__name__, error)
