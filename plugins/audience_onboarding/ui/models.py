"""Response models of the Audiences page's API.

They hold data about audiences and loads, never about people: counts, ratios, dates, states, ids and keys.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum

from pydantic import BaseModel


class Health(str, Enum):
    """Health states of an audience, most urgent first."""

    ACTION_REQUIRED = "action_required"
    """A user must act: an ambiguous create, an approval, or a missing DAG."""

    FAILED = "failed"
    """The newest load failed."""

    BLOCKED = "blocked"
    """A guard or a match rate blocked the newest load on purpose."""

    LATE = "late"
    """A load that was due is not confirmed."""

    EXPIRING = "expiring"
    """A segment ends within a week."""

    RUNNING = "running"
    NEVER_LOADED = "never_loaded"
    OK = "ok"
    PAUSED = "paused"
    RETIRED = "retired"


class Link(BaseModel):
    """A link.

    :param href: a path of this Airflow, or a URL elsewhere (the S3 console, the vendor's portal). Empty if the target
        has no URL, for example a file on a worker.
    """

    label: str
    href: str


class Action(Link):
    """An action that a user has to take; ``description`` has one or two sentences: cause and next step."""

    description: str


class MatchRate(BaseModel):
    """Match rate of an identifier, for example ``email``; 0 to 1, ``None`` if the vendor gave none."""

    identifier: str
    rate: float | None


class TrendPoint(BaseModel):
    """Point of the sparkline in the table: the highest match rate of a load."""

    load_date: date
    rate: float | None


class Segment(BaseModel):
    """A segment on an ad platform; unknown values are ``None``.

    :param target: key of the activation target.
    :param name: at the ad platform.
    :param end: last day; ``None`` also if the segment has no end.
    :param days_left: days until the end; negative if it is past.
    """

    target: str
    segment_id: str | None = None
    name: str | None = None
    platform: str | None = None
    start: date | None = None
    end: date | None = None
    days_left: int | None = None
    status: str | None = None


class AudienceRow(BaseModel):
    """An audience in the table.

    :param key: of its definition.
    :param title: display name; the key if there is none.
    :param vendor_state: state of the audience at the vendor when the last load was confirmed.
    :param rows_sent: by the last confirmed load.
    :param match_rates: of the last confirmed load.
    :param trend: of the last 30 loads, oldest first.
    :param days_to_expiry: of the first segment to end among those that have not ended.
    :param next_run: start of the next scheduled load.
    :param reason: of the health, one sentence.
    """

    key: str
    title: str
    platform: str
    owner: str | None
    dag_id: str
    audience_id: str | None
    health: Health
    reason: str
    vendor_state: str | None
    last_load_date: date | None
    last_load_mode: str | None
    last_confirmed_at: datetime | None
    rows_sent: int | None
    match_rates: list[MatchRate]
    trend: list[TrendPoint]
    segments: int
    days_to_expiry: int | None
    next_run: datetime | None
    is_paused: bool


class AudienceList(BaseModel):
    """A page of the table.

    :param total: number of readable audiences that match all filters.
    :param by_health: the same per health state, without the filter on health.
    :param platforms: of all readable audiences, as choices of the filter; ``owners`` likewise.
    """

    total: int
    offset: int
    limit: int
    audiences: list[AudienceRow]
    by_health: dict[Health, int]
    platforms: list[str]
    owners: list[str]
    generated_at: datetime


class LoadRow(BaseModel):
    """A confirmed load.

    :param period: load date, or date range: ``2026-11-01..2026-11-20``.
    :param load_date: of a range, its last day.
    :param files: objects in S3, if the platform ingests from S3; a replacement or a mirror may need several.
    :param rejected_by_reason: reason code to rows.
    :param rejects: list of rejected rows.
    :param run: the Airflow run.
    """

    period: str
    load_date: date
    mode: str
    outcome: str
    confirmed_at: datetime | None
    rows_read: int
    rows_sent: int
    duplicates: int
    rejected: int
    rejected_by_reason: dict[str, int]
    match_rates: list[MatchRate]
    files: list[Link]
    rejects: Link | None
    run: Link | None


class LoadList(BaseModel):
    """A page of the load history, newest load date first."""

    total: int
    offset: int
    limit: int
    loads: list[LoadRow]


class RunRow(BaseModel):
    """A run of the onboarding DAG without a confirmed load (yet).

    :param state: ``queued``, ``running``, ``failed``, ``blocked`` (by a guard or a match rate), ``dry_run`` (succeeded,
        sends nothing) or ``skipped`` (succeeded without a load).
    """

    run_id: str
    period: str | None
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    link: Link


class AudienceDetail(BaseModel):
    """Page of one audience, without the load history.

    :param campaign: its name, if the platform has campaigns.
    :param actions: most urgent first.
    :param forms: trigger forms of this audience that the user may submit: load, backfill, activate, erase, retire.
    :param links: asset and DAGs.
    :param recent_runs: recent runs without a confirmed load, newest first, at most 10.
    """

    audience: AudienceRow
    description: str | None
    campaign: str | None
    segments: list[Segment]
    actions: list[Action]
    forms: list[Link]
    links: list[Link]
    recent_runs: list[RunRow]
    generated_at: datetime
