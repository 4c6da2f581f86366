"""Values that the page reads from stored records: named fields of the right type, nothing else.

Older versions of the package and edits of the state store can leave any value in a field, or none. Fields that are not
named here never reach the page. No I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, BeforeValidator, Field

from audience_onboarding.state.create_once import REQUEST_ENDED, pending_intent
from audience_onboarding.state.reconcile import object_label
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    LAST_LOAD_KEY,
    LOAD_PREFIX,
    RETIRED_KEY,
    segment_key,
)
from audience_onboarding.timestamps import parse_iso_datetime
from audience_onboarding.ui.models import Segment

MAX_TEXT = 500
"""Length limit of a text, in characters."""

LOADS = (f"{LOAD_PREFIX}0", f"{LOAD_PREFIX}9999")
"""Bounds of the keys of loads. Not a prefix: databases may ignore punctuation when they sort, and in each order the
digits of a year lie between these two."""

SEGMENTS = ("segment", "segmenu")
"""Bounds of the keys of segments; some other keys lie between them too."""

_SEGMENT = segment_key("")


def parse_json(text: Any) -> Any:
    """Return the value of a JSON text, ``None`` if it is invalid, other values unchanged."""
    if not isinstance(text, str | bytes):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str | None:
    """Return a text or number as text, ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:MAX_TEXT] or None


def as_count(value: Any) -> int | None:
    """Return an integer from 0, ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def as_ratio(value: Any) -> float | None:
    """Return a number from 0 to 1, ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= 1 else None


def as_date(value: Any) -> date | None:
    """Return the date of an ISO date or datetime, ``None`` for anything else."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def as_datetime(value: Any) -> datetime | None:
    """Return an ISO datetime in UTC, ``None`` for anything else; one without a time zone is in UTC."""
    try:
        parsed = parse_iso_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if parsed is None:
        return None
    return parsed.astimezone(timezone.utc) if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def as_rates(value: Any) -> dict[str, float | None]:
    """Return match rates by identifier; invalid ones are ``None``."""
    return {str(name)[:80]: as_ratio(rate) for name, rate in sorted(as_mapping(value).items())}


def as_counts(value: Any) -> dict[str, int]:
    """Return counts by name, without invalid ones."""
    counts = ((str(name)[:80], as_count(count)) for name, count in sorted(as_mapping(value).items()))
    return {name: count for name, count in counts if count is not None}


def as_texts(value: Any) -> list[str]:
    """Return a list of texts, without invalid ones."""
    return [text for item in value if (text := as_text(item))] if isinstance(value, list) else []


def best_rate(rates: Mapping[str, float | None]) -> float | None:
    """Return the highest known rate."""
    return max((rate for rate in rates.values() if rate is not None), default=None)


@dataclass(frozen=True)
class LoadKey:
    """State-store key of a confirmed load.

    :param period: load date, or date range.
    :param last: the load date; of a range, its last day.
    """

    period: str
    first: date
    last: date
    mode: str

    @classmethod
    def parse(cls, key: str) -> LoadKey | None:
        """Parse a key; return ``None`` if it is not that of a load."""
        if not key.startswith(LOAD_PREFIX):
            return None
        period, _, mode = key.removeprefix(LOAD_PREFIX).rpartition(".")
        first, _, last = period.partition("..")
        start, end = as_date(first), as_date(last or first)
        if start is None or end is None or len(first) != len("2026-11-20") or not mode:
            return None
        return cls(period, start, end, mode)

    @property
    def order(self) -> tuple[date, date, str]:
        """Sort key: load date first."""
        return self.last, self.first, self.mode


Date = Annotated[date | None, BeforeValidator(as_date)]
Datetime = Annotated[datetime | None, BeforeValidator(as_datetime)]
Text = Annotated[str | None, BeforeValidator(as_text)]
Texts = Annotated[list[str], BeforeValidator(as_texts)]
Count = Annotated[int | None, BeforeValidator(as_count)]
Counts = Annotated[dict[str, int], BeforeValidator(as_counts)]
Rates = Annotated[dict[str, float | None], BeforeValidator(as_rates)]

_Record = TypeVar("_Record", bound=BaseModel)


def parse_record(model: type[_Record], text: Any) -> _Record | None:
    """Return a stored record as a model, ``None`` if it is not a JSON object."""
    try:
        return model.model_validate_json(text)
    except ValueError:
        return None


class LoadSummary(BaseModel):
    """Record of a confirmed load, as far as the table shows it; unknown values are ``None``."""

    load_date: Date = None
    mode: Text = None
    confirmed_at: Datetime = Field(default=None, validation_alias="ended_at")
    audience_id: Text = None
    audience_state: Text = None
    import_status: Text = None
    rows_sent: Count = None
    match_rates: Rates = {}
    run_id: Text = None

    @property
    def vendor_state(self) -> str | None:
        """State at the vendor: of the audience, or of the import."""
        return self.audience_state or self.import_status


class Load(LoadSummary):
    """Record of a confirmed load in the load history."""

    outcome: Text = None
    rows_read: Count = None
    duplicates: Count = None
    rejected: Count = None
    rejected_by_reason: Counts = {}
    bucket: Text = None
    s3_key: Text = None
    s3_keys: Texts = []
    s3_endpoint: Text = None
    s3_region: Text = None
    rejects_file: Text = None

    @property
    def object_keys(self) -> list[str]:
        """Keys of the S3 objects that the load wrote."""
        return self.s3_keys or ([self.s3_key] if self.s3_key else [])


class _LoadRates(msgspec.Struct, gc=False):
    match_rates: Any = None


# The table has 30 loads per audience: msgspec decodes this one field several times faster than pydantic.
_RATES_DECODER = msgspec.json.Decoder(_LoadRates)


def parse_best_rate(text: Any) -> float | None:
    """Return the highest known match rate in the stored record of a load."""
    try:
        return best_rate(as_rates(_RATES_DECODER.decode(text).match_rates))
    except (msgspec.DecodeError, TypeError, UnicodeEncodeError):
        return None


@dataclass(frozen=True)
class Intent:
    """A create request that is in flight or has an unknown outcome.

    :param subject: created object, as the form of ``resolve_ambiguous_create`` names it.
    :param at: when it was sent.
    :param has_ended: the request is known to have ended without a usable response.
    """

    subject: str
    name: str | None
    at: datetime | None
    has_ended: bool

    @classmethod
    def parse(cls, key: str, record: Any) -> Intent | None:
        """Parse the record under a state-store key; return ``None`` unless it has an intent and no id."""
        intent = pending_intent(record)
        if intent is None:
            return None
        ended = bool(intent.get(REQUEST_ENDED))
        return cls(
            object_label(key) or key, as_text(intent.get("name")), as_datetime(intent.get("at")), ended
        )


class Retirement(BaseModel):
    """Record of the retirement of an audience."""

    at: Datetime = None
    audience_id: Text = None
    name: Text = None


def segment_of_event(target: str, extra: Any) -> Segment:
    """Return the segment that ``extra`` of an event of its asset describes."""
    values = as_mapping(extra)
    return Segment(
        target=target,
        segment_id=as_text(values.get("segment_id")),
        name=as_text(values.get("segment_name")) or as_text(values.get("name")),
        platform=as_text(values.get("ad_platform")),
        start=as_date(values.get("start_date")),
        end=as_date(values.get("end_date")),
        status=as_text(values.get("status")),
    )


@dataclass(frozen=True)
class Extension:
    """End date of a segment in a report of the DAG that extends end dates."""

    audience: str
    segment_id: str
    end: date


def parse_extensions(report: Any) -> list[Extension]:
    """Parse the report of the DAG that extends end dates."""
    extensions = []
    for row in report if isinstance(report, list) else ():
        values = as_mapping(row)
        is_moved = values.get("outcome") != "failed" and values.get("to")
        end = as_date(values.get("to") if is_moved else values.get("from"))
        audience, segment_id = as_text(values.get("audience")), as_text(values.get("segment_id"))
        if audience and segment_id and end:
            extensions.append(Extension(audience, segment_id, end))
    return extensions


@dataclass
class StoredState:
    """Entries of the state store of an audience, without its loads; segments by their key."""

    audience_id: str | None = None
    name: str | None = None
    last: LoadSummary | None = None
    retired: Retirement | None = None
    segments: dict[str, Segment] = field(default_factory=dict)
    intents: list[Intent] = field(default_factory=list)

    def add(self, key: str, text: Any) -> None:
        """Add an entry; keys that the page does not use are ignored."""
        if key == LAST_LOAD_KEY:
            self.last = parse_record(LoadSummary, text)
        elif key == RETIRED_KEY:
            self.retired = parse_record(Retirement, text)
        elif key == AUDIENCE_KEY or key.startswith(_SEGMENT):
            record = parse_json(text)
            values = as_mapping(record)
            intent = Intent.parse(key, record)
            if intent is not None:
                self.intents.append(intent)
            if key == AUDIENCE_KEY:
                self.audience_id, self.name = as_text(values.get("id")), as_text(values.get("name"))
            elif intent is None and isinstance(record, dict):
                self.segments[key] = Segment(
                    target=key.removeprefix(_SEGMENT).partition(".")[0],
                    segment_id=as_text(values.get("id")),
                    name=as_text(values.get("name")),
                    start=as_date(values.get("start")),
                    end=as_date(values.get("end")),
                )

    @property
    def vendor_id(self) -> str | None:
        """Id of the audience at the vendor."""
        last_id = self.last and self.last.audience_id
        return self.audience_id or last_id or (self.retired and self.retired.audience_id) or None

    def merge_segments(
        self, events: Iterable[Segment], extensions: Iterable[Extension], today: date
    ) -> list[Segment]:
        """Update the segments with later reports; return them by target and end.

        :param events: segments as the events of their assets describe them, oldest first; ``extensions`` likewise.
        """
        merged = list(self.segments.values())
        by_id = {segment.segment_id: segment for segment in merged if segment.segment_id}
        for event in events:
            if event.segment_id is None:
                continue
            if event.segment_id not in by_id:
                # Retired, or cleared from the state store.
                by_id[event.segment_id] = Segment(target=event.target, segment_id=event.segment_id)
                merged.append(by_id[event.segment_id])
            segment = by_id[event.segment_id]
            segment.name = segment.name or event.name
            segment.platform = event.platform or segment.platform
            segment.start = event.start or segment.start
            segment.end = event.end or segment.end
            segment.status = event.status or segment.status
        for extension in extensions:
            if extension.segment_id in by_id:
                by_id[extension.segment_id].end = extension.end
        for segment in merged:
            segment.days_left = (segment.end - today).days if segment.end else None
        return sorted(merged, key=lambda item: (item.target, item.end or date.max, item.segment_id or ""))
