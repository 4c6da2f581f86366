"""What the page takes out of what is stored: named fields of the right kind, and nothing else.

Records may come from an older version of the package, or from a person who has edited the state store, so each field
may be missing or be anything. What is not named in here never gets onto the page. No I/O.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any, TypeVar

import msgspec

from audience_onboarding.state.create_once import ENDED, open_intent
from audience_onboarding.state.reconcile import what_of
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    LAST_LOAD_KEY,
    LOAD_PREFIX,
    RETIRED_KEY,
    segment_key,
)

MAX_TEXT = 500
"""Characters of a text that are shown."""

LOADS = (f"{LOAD_PREFIX}0", f"{LOAD_PREFIX}9999")
"""From where to where the keys of loads lie. Not a prefix: databases may sort without regard to punctuation, and in
each order the digits of a year lie between these two."""

SEGMENTS = ("segment", "segmenu")
"""Likewise for the keys of segments, some others among them."""

_SEGMENT = segment_key("")


def parsed(text: Any) -> Any:
    """The value of a JSON text, ``None`` where it is none. What is no text is a value already."""
    if not isinstance(text, str | bytes):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return None


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str | None:
    """A text or number as text, ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)[:MAX_TEXT] or None


def count_of(value: Any) -> int | None:
    """A whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def share_of(value: Any) -> float | None:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value) if 0 <= value <= 1 else None


def day_of(value: Any) -> date | None:
    """The day of an ISO date or moment."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def moment_of(value: Any) -> datetime | None:
    """An ISO moment; one without a time zone is in UTC."""
    try:
        # Python 3.10 does not read the Z.
        found = datetime.fromisoformat(value.replace("Z", "+00:00")) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None:
        return None
    return found.astimezone(timezone.utc) if found.tzinfo else found.replace(tzinfo=timezone.utc)


def rates_of(value: Any) -> dict[str, float | None]:
    """Match rates by identifier, those of the vendor that are none as ``None``."""
    return {str(name)[:80]: share_of(rate) for name, rate in sorted(mapping(value).items())}


def best_of(rates: Mapping[str, float | None]) -> float | None:
    """The highest rate that is known."""
    return max((rate for rate in rates.values() if rate is not None), default=None)


@dataclass(frozen=True)
class LoadKey:
    """What the key of a confirmed load says of it.

    :param days: the load date, or the range of days.
    :param last: the load date; of a range, its last day.
    """

    days: str
    first: date
    last: date
    mode: str

    @classmethod
    def read(cls, key: str) -> LoadKey | None:
        """Take a key apart; ``None`` if it is that of something else."""
        if not key.startswith(LOAD_PREFIX):
            return None
        days, _, mode = key.removeprefix(LOAD_PREFIX).rpartition(".")
        first, _, last = days.partition("..")
        start, end = day_of(first), day_of(last or first)
        if start is None or end is None or len(first) != len("2026-11-20") or not mode:
            return None
        return cls(days, start, end, mode)

    @property
    def order(self) -> tuple[date, date, str]:
        """Loads sort by their load date first."""
        return self.last, self.first, self.mode


class _Rates(msgspec.Struct, gc=False):
    """Of the record of a load, what the small curve shows. Fields that are not named are not even read."""

    match_rates: Any = None


class _Brief(_Rates, gc=False):
    """Of the record of a load, what the table shows."""

    load_date: Any = None
    mode: Any = None
    ended_at: Any = None
    audience_id: Any = None
    audience_state: Any = None
    import_status: Any = None
    rows_sent: Any = None
    run_id: Any = None


class _Record(_Brief, gc=False):
    """Of the record of a load, what its history shows."""

    outcome: Any = None
    rows_read: Any = None
    duplicates: Any = None
    rejected: Any = None
    rejected_by_reason: Any = None
    bucket: Any = None
    s3_key: Any = None
    s3_keys: Any = None
    s3_endpoint: Any = None
    s3_region: Any = None
    rejects_file: Any = None


_Fields = TypeVar("_Fields", bound=msgspec.Struct)
_RATES = msgspec.json.Decoder(_Rates)
_BRIEF = msgspec.json.Decoder(_Brief)
_RECORD = msgspec.json.Decoder(_Record)


def _decoded(decoder: msgspec.json.Decoder[_Fields], text: Any) -> _Fields | None:
    try:
        return decoder.decode(text) if isinstance(text, str | bytes) else None
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def best_rate_in(text: Any) -> float | None:
    """The highest match rate that is known of a load.

    :param text: its record, as it is stored.
    """
    found = _decoded(_RATES, text)
    return best_of(rates_of(found.match_rates)) if found else None


@dataclass(frozen=True)
class Brief:
    """A confirmed load, as far as its record tells, for the table."""

    load_date: date | None
    mode: str | None
    confirmed_at: datetime | None
    audience_id: str | None
    state: str | None
    rows_sent: int | None
    match_rates: dict[str, float | None]
    run_id: str | None

    @classmethod
    def read(cls, text: Any) -> Brief | None:
        """Read a record as it is stored; ``None`` where there is none."""
        found = _decoded(_BRIEF, text)
        if found is None:
            return None
        return cls(
            load_date=day_of(found.load_date),
            mode=text_of(found.mode),
            confirmed_at=moment_of(found.ended_at),
            audience_id=text_of(found.audience_id),
            state=text_of(found.audience_state) or text_of(found.import_status),
            rows_sent=count_of(found.rows_sent),
            match_rates=rates_of(found.match_rates),
            run_id=text_of(found.run_id),
        )


@dataclass(frozen=True)
class Load:
    """A confirmed load, as far as its record tells, for its history."""

    outcome: str = "confirmed"
    confirmed_at: datetime | None = None
    rows_read: int = 0
    rows_sent: int = 0
    duplicates: int = 0
    rejected: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    match_rates: Mapping[str, float | None] = field(default_factory=dict)
    bucket: str | None = None
    s3_keys: tuple[str, ...] = ()
    s3_endpoint: str | None = None
    s3_region: str | None = None
    rejects_file: str | None = None
    run_id: str | None = None

    @classmethod
    def read(cls, text: Any) -> Load:
        """Read a record as it is stored."""
        found = _decoded(_RECORD, text)
        if found is None:
            return cls()
        keys = found.s3_keys if isinstance(found.s3_keys, list) else []
        several = tuple(name for item in keys if (name := text_of(item)))
        one = text_of(found.s3_key)
        return cls(
            outcome=text_of(found.outcome) or "confirmed",
            confirmed_at=moment_of(found.ended_at),
            rows_read=count_of(found.rows_read) or 0,
            rows_sent=count_of(found.rows_sent) or 0,
            duplicates=count_of(found.duplicates) or 0,
            rejected=count_of(found.rejected) or 0,
            rejected_by_reason={
                str(reason)[:80]: number
                for reason, rows in sorted(mapping(found.rejected_by_reason).items())
                if (number := count_of(rows)) is not None
            },
            match_rates=rates_of(found.match_rates),
            bucket=text_of(found.bucket),
            s3_keys=several or ((one,) if one else ()),
            s3_endpoint=text_of(found.s3_endpoint),
            s3_region=text_of(found.s3_region),
            rejects_file=text_of(found.rejects_file),
            run_id=text_of(found.run_id),
        )


@dataclass(frozen=True)
class Intent:
    """A creation that is unclear, or under way.

    :param what: as the form of ``resolve_ambiguous_create`` calls it.
    :param has_ended: its request is known to have ended, without an answer that tells.
    """

    what: str
    name: str | None
    at: datetime | None
    has_ended: bool


def intent_of(key: str, record: Any) -> Intent | None:
    """The intent that is all that is known of something; ``None`` unless there is one.

    :param key: in the state store.
    """
    found = open_intent(record)
    if found is None:
        return None
    what = what_of(key) or key
    return Intent(what, text_of(found.get("name")), moment_of(found.get("at")), bool(found.get(ENDED)))


@dataclass(frozen=True)
class Retirement:
    """An audience that was retired."""

    at: datetime | None
    audience_id: str | None
    name: str | None

    @classmethod
    def read(cls, record: Any) -> Retirement | None:
        """Read a record; ``None`` where there is none."""
        if not isinstance(record, dict):
            return None
        return cls(
            moment_of(record.get("at")), text_of(record.get("audience_id")), text_of(record.get("name"))
        )


@dataclass
class SegmentFacts:
    """A segment, put together from what is remembered of it and what was told of it later."""

    target: str
    name: str | None = None
    platform: str | None = None
    segment_id: str | None = None
    start: date | None = None
    end: date | None = None
    state: str | None = None

    def days_left(self, today: date) -> int | None:
        """To the end; negative where that is over."""
        return None if self.end is None else (self.end - today).days


@dataclass(frozen=True)
class SegmentNews:
    """What was told of a segment: by the event of its activation, or by the DAG that extends end dates."""

    target: str
    segment_id: str | None
    name: str | None = None
    platform: str | None = None
    start: date | None = None
    end: date | None = None
    state: str | None = None

    @classmethod
    def of_event(cls, target: str, extra: Any) -> SegmentNews:
        """Of the event of a segment's asset."""
        told = mapping(extra)
        return cls(
            target=target,
            segment_id=text_of(told.get("segment_id")),
            name=text_of(told.get("segment_name")) or text_of(told.get("name")),
            platform=text_of(told.get("ad_platform")),
            start=day_of(told.get("start_date")),
            end=day_of(told.get("end_date")),
            state=text_of(told.get("status")),
        )


@dataclass(frozen=True)
class Extended:
    """What the DAG that extends end dates has seen of a segment, and when."""

    audience: str
    segment_id: str
    end: date


def extended_of(rows: Any) -> list[Extended]:
    """Read the report of the DAG that extends end dates."""
    found = []
    for row in rows if isinstance(rows, list) else ():
        told = mapping(row)
        moved = told.get("outcome") != "failed"
        end = day_of(told.get("to") if moved and told.get("to") else told.get("from"))
        audience, segment_id = text_of(told.get("audience")), text_of(told.get("segment_id"))
        if audience and segment_id and end:
            found.append(Extended(audience, segment_id, end))
    return found


@dataclass
class Remembered:
    """What the state store of an audience holds, without its loads."""

    audience_id: str | None = None
    name: str | None = None
    last: Brief | None = None
    retired: Retirement | None = None
    segments: dict[str, SegmentFacts] = field(default_factory=dict)
    """By key of the state store."""
    intents: list[Intent] = field(default_factory=list)

    def take(self, key: str, text: Any) -> None:
        """Take up one entry; others than those that the page knows are left alone."""
        if key == AUDIENCE_KEY:
            record = parsed(text)
            told = mapping(record)
            self.audience_id, self.name = text_of(told.get("id")), text_of(told.get("name"))
            self._take_intent(key, record)
        elif key == LAST_LOAD_KEY:
            self.last = Brief.read(text)
        elif key == RETIRED_KEY:
            self.retired = Retirement.read(parsed(text))
        elif key.startswith(_SEGMENT):
            self._take_segment(key, parsed(text))

    def _take_segment(self, key: str, record: Any) -> None:
        target = key.removeprefix(_SEGMENT)
        if self._take_intent(key, record) or not isinstance(record, dict):
            return
        self.segments[key] = SegmentFacts(
            target=target.partition(".")[0],
            name=text_of(record.get("name")),
            segment_id=text_of(record.get("id")),
            start=day_of(record.get("start")),
            end=day_of(record.get("end")),
        )

    def _take_intent(self, key: str, record: Any) -> bool:
        found = intent_of(key, record)
        if found is not None:
            self.intents.append(found)
        return found is not None

    @property
    def vendor_id(self) -> str | None:
        """The id of the audience at the vendor."""
        known = self.audience_id or (self.last and self.last.audience_id)
        return known or (self.retired and self.retired.audience_id) or None

    def segments_now(self, news: list[SegmentNews], extended: list[Extended]) -> list[SegmentFacts]:
        """The segments with all that is known of them, by target and end.

        :param news: of the audience, oldest first.
        :param extended: likewise.
        """
        found = list(self.segments.values())
        by_id = {segment.segment_id: segment for segment in found if segment.segment_id}
        for told in news:
            if told.segment_id is None:
                continue
            segment = by_id.get(told.segment_id)
            if segment is None:
                # Retired, or remembered by nobody any more: it was there.
                segment = by_id[told.segment_id] = SegmentFacts(told.target, segment_id=told.segment_id)
                found.append(segment)
            segment.name = segment.name or told.name
            segment.platform = told.platform or segment.platform
            segment.start = told.start or segment.start
            segment.end = told.end or segment.end
            segment.state = told.state or segment.state
        for seen in extended:
            if seen.segment_id in by_id:
                by_id[seen.segment_id].end = seen.end
        return sorted(found, key=lambda item: (item.target, item.end or date.max, item.segment_id or ""))
