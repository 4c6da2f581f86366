"""Metrics of the package, emitted by Airflow's ``[metrics]`` (StatsD, Datadog or OpenTelemetry).

:data:`METRICS` and docs/reference/observability.md list all of them. Tags contain no personal data: the tag `audience`
is the key of the definition, or the vendor's id if an operator is used without a definition.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache, partial
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "audience_onboarding"

MAX_TAG_LENGTH = 24
"""Characters of a tag's value. Airflow drops names above 250 characters, which include InfluxDB's tags."""

MAX_AUDIENCE_LENGTH = 100
"""Characters of the tag `audience`, the maximum length of a key."""

_INVALID_CHARACTER = re.compile(r"[^A-Za-z0-9_/-]")
"""StatsD separates parts of a name by dots; Airflow drops metrics with the other characters."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    :param name: without the prefix.
    :param kind: ``counter``, ``gauge`` or ``timer``.
    :param unit: of its values.
    :param tags: names of its tags, in the order of the legacy name.
    :param when: event that emits it.
    """

    name: str
    kind: str
    unit: str
    tags: tuple[str, ...]
    when: str

    @property
    def full_name(self) -> str:
        """Name for Airflow, which adds its own prefix (``airflow.``)."""
        return f"{PREFIX}.{self.name}"

    def legacy_name(self, tags: Mapping[str, str]) -> str:
        """Name that contains the values of the tags, for backends without tags."""
        return ".".join([self.full_name, *(tags[name] for name in self.tags)])


def _metric(kind: str, name: str, unit: str, tags: tuple[str, ...], when: str) -> Metric:
    return Metric(name, kind, unit, tags, when)


_counter, _gauge, _timer = (partial(_metric, kind) for kind in ("counter", "gauge", "timer"))
_LOAD = ("platform", "audience", "mode")

LOADS = _counter(
    "loads",
    "loads",
    (*_LOAD, "outcome"),
    "a task that sends a list has succeeded: `outcome` is `sent`, or `unchanged` if nothing was sent",
)
ROWS_READ = _counter("rows_read", "rows", _LOAD, "with `loads`, for a sent list")
ROWS_SENT = _counter("rows_sent", "rows", _LOAD, "with `loads`, for a sent list")
ROWS_DUPLICATE = _counter("rows_duplicate", "rows", _LOAD, "with `loads`, for a sent list; not if 0")
ROWS_REJECTED = _counter(
    "rows_rejected",
    "rows",
    (*_LOAD, "reason"),
    "with `loads`, for a sent list; not if 0. `reason` is a code of docs/reference/identifiers.md",
)
GUARD_FAILURES = _counter(
    "guard_failures",
    "failed guards",
    (*_LOAD, "guard"),
    "a guard has failed a load; once per failed guard. Not in a dry run, nor if guards are ignored",
)
AMBIGUOUS_CREATES = _counter(
    "ambiguous_creates",
    "creates",
    ("platform", "audience", "kind"),
    "a task has failed because the creation of a `campaign`, `audience` or `segment` is ambiguous",
)
UPLOADED_BYTES = _counter("uploaded_bytes", "bytes", _LOAD, "a file was uploaded to S3 or sent to the vendor")
UPLOAD_TIME = _timer(
    "upload_time",
    "ms",
    _LOAD,
    "with `uploaded_bytes`: duration of the upload, hashing included",
)
CONFIRMATION_TIME = _timer(
    "confirmation_time",
    "ms",
    ("platform", "audience"),
    "the vendor has confirmed a load of this run: the time since it was sent",
)
MATCH_RATE = _gauge(
    "match_rate",
    "ratio, 0 to 1",
    ("platform", "audience", "identifier"),
    "the vendor has confirmed a load and reports the ratio of matched identifiers",
)
POLLS = _counter(
    "polls",
    "polls",
    ("platform", "result"),
    "a deferred wait has polled the vendor: `pending`, `done`, `failed`, or `error` if the poll itself failed. Sent "
    "by the triggerer",
)
API_CALLS = _counter(
    "api_calls",
    "calls",
    ("platform", "operation", "status"),
    "a call to the vendor has ended: `status` is `2xx` to `5xx`, or `none` without a complete answer",
)
API_TIME = _timer(
    "api_time",
    "ms",
    ("platform", "operation"),
    "with `api_calls`: from sending to the answer, with retries, without the first wait for the rate limit",
)
API_RETRIES = _counter(
    "api_retries",
    "requests",
    ("platform", "operation"),
    "a request is repeated within the same call, after a network error or a 502, 503 or 504",
)
API_THROTTLE_TIME = _timer(
    "api_throttle_time",
    "ms",
    ("platform", "limit"),
    "a request has waited for the rate limit of the connection (`connection`) or the vendor (`vendor`); not if 0",
)
LOGINS = _counter(
    "logins",
    "logins",
    ("platform", "outcome"),
    "a login has ended: `ok`, `refused`, or `broken` without a usable answer",
)

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All metrics of the package."""

_reported: set[str] = set()


def incr(metric: Metric, number: int = 1, /, **tags: object) -> None:
    """Add to a counter."""
    _send(metric, "incr", number, tags)


def gauge(metric: Metric, value: float, /, **tags: object) -> None:
    """Set a gauge."""
    _send(metric, "gauge", value, tags)


def timing(metric: Metric, seconds: float, /, **tags: object) -> None:
    """Emit a duration."""
    # Airflow reads a number as milliseconds.
    _send(metric, "timing", timedelta(seconds=max(0.0, seconds)), tags)


@contextmanager
def upload_measured(size: int | None, /, **tags: object) -> Iterator[Upload]:
    """Measure an upload that succeeds and sends data.

    :param size: in bytes; ``None`` if unknown before the upload.
    """
    upload = Upload(size)
    started = time.monotonic()
    yield upload
    if upload.size is not None:
        incr(UPLOADED_BYTES, upload.size, **tags)
        timing(UPLOAD_TIME, time.monotonic() - started, **tags)


@dataclass
class Upload:
    """Measured upload.

    :param size: in bytes; ``None`` if nothing was sent, or the size is unknown.
    """

    size: int | None


def seconds_since(timestamp: object) -> float | None:
    """Return the seconds since an ISO 8601 timestamp with a time zone, ``None`` if invalid."""
    try:
        return (datetime.now(timezone.utc) - datetime.fromisoformat(str(timestamp))).total_seconds()
    except (TypeError, ValueError):
        return None


def fit(name: str, value: object) -> str:
    """Return a tag's value that every backend accepts."""
    longest = MAX_AUDIENCE_LENGTH if name == "audience" else MAX_TAG_LENGTH
    return _INVALID_CHARACTER.sub("_", str(value))[:longest] or "none"


class ApiMetrics:
    """Metrics of a client's requests: an :class:`~audience_onboarding.http.ClientObserver`."""

    def __init__(self, platform: str) -> None:
        self.platform = platform

    def on_response(self, operation: str, status: int | None, seconds: float) -> None:
        """Count and time a request."""
        kind = "none" if status is None else f"{status // 100}xx"
        incr(API_CALLS, platform=self.platform, operation=operation, status=kind)
        timing(API_TIME, seconds, platform=self.platform, operation=operation)

    def on_retry(self, operation: str) -> None:
        """Count a repeated request."""
        incr(API_RETRIES, platform=self.platform, operation=operation)

    def on_throttle(self, limit: str, seconds: float) -> None:
        """Time a wait for a rate limit."""
        timing(API_THROTTLE_TIME, seconds, platform=self.platform, limit=limit)

    def on_login(self, outcome: str) -> None:
        """Count a login."""
        incr(LOGINS, platform=self.platform, outcome=outcome)


@cache
def _has_legacy_names() -> bool:
    """Read the setting once per process, as Airflow does; reading takes longer than sending a value."""
    from airflow.sdk.configuration import conf

    return bool(conf.getboolean("metrics", "legacy_names_on", fallback=True))


def _send(metric: Metric, how: str, value: Any, tags: Mapping[str, object]) -> None:
    """Emit a value. Errors are logged once per metric and never fail a load."""
    try:
        # Imported here, as DAG files do not need it.
        from airflow.sdk.observability import stats

        if set(tags) != set(metric.tags):
            raise ValueError(f"{metric.name} has the tags {', '.join(metric.tags)}")
        fitted = {name: fit(name, tags[name]) for name in metric.tags}
        send = getattr(stats, how)
        send(metric.full_name, value, tags=fitted)
        # As Airflow does, for StatsD without tags, as one gauge of several audiences would be useless.
        if _has_legacy_names():
            send(metric.legacy_name(fitted), value)
    except Exception as error:
        if metric.name not in _reported:
            _reported.add(metric.name)
            log.warning("%s is not measured: %s: %s", metric.full_name, type(error).__name__, error)
