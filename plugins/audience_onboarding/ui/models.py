"""What the Audiences page is told: the shapes of its answers.

All of it is about audiences and loads, never about people: counts, shares, dates, states, ids and keys.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum

from pydantic import BaseModel, Field


class Health(str, Enum):
    """What is to be said of an audience first; the order is that of urgency."""

    NEEDS_YOU = "needs_you"
    """Something waits for a person: a creation that is unclear, an approval."""

    FAILED = "failed"
    """The newest load failed."""

    STOPPED = "stopped"
    """The newest load was stopped on purpose: by a guard, or a match rate."""

    LATE = "late"
    """A load that was due is not confirmed."""

    ENDING = "ending"
    """A segment ends within a week."""

    RUNNING = "running"
    """A load is under way, and nothing is wrong."""

    NEVER_LOADED = "never_loaded"
    """Nothing was ever confirmed, and nothing is wrong."""

    OK = "ok"
    """The newest load is confirmed."""

    PAUSED = "paused"
    """Its DAG is paused; nothing is wrong."""

    RETIRED = "retired"
    """It was retired."""


class Link(BaseModel):
    """Somewhere to go.

    :param label: what the reader gets there, a few words.
    :param href: a path of this Airflow, or an address elsewhere (an S3 console, the vendor's portal). Empty where there
        is nowhere to go, as with a file on a worker: then the label says it all.
    """

    label: str
    href: str


class Action(Link):
    """Something that waits for a person.

    :param why: one or two sentences: what happened, and what is asked.
    """

    why: str


class Rate(BaseModel):
    """A match rate.

    :param identifier: what the vendor calls it, for example ``email``.
    :param share: from 0 to 1, ``None`` where the vendor did not say.
    """

    identifier: str
    share: float | None


class SparkPoint(BaseModel):
    """A point of the small curve in the table: the best known match rate of one load."""

    load_date: date
    share: float | None


class Segment(BaseModel):
    """A segment on an ad platform.

    :param target: key of the activation target.
    :param name: as it is called there.
    :param platform: the ad platform.
    :param start: first day, where it is known.
    :param end: last day, ``None`` where it is not known or open.
    :param days_left: to the end, from today; negative where that is over.
    """

    target: str
    name: str | None
    platform: str | None
    segment_id: str | None
    start: date | None
    end: date | None
    days_left: int | None
    state: str | None


class AudienceRow(BaseModel):
    """An audience in the table.

    :param key: of its definition.
    :param title: what people call it; the key where that is not known.
    :param state: the audience's state at the vendor, as the last load saw it.
    :param rows_sent: of the last confirmed load.
    :param match_rates: of the last confirmed load.
    :param trend: of the last 30 loads, oldest first.
    :param days_to_end: of the segment that ends first among those that have not ended.
    :param next_run: when the scheduler will start the next load.
    :param reason: why the health is what it is, one sentence.
    """

    key: str
    title: str
    platform: str
    owner: str | None
    dag_id: str
    audience_id: str | None
    health: Health
    reason: str
    state: str | None
    last_load_date: date | None
    last_load_mode: str | None
    last_confirmed_at: datetime | None
    rows_sent: int | None
    match_rates: list[Rate]
    trend: list[SparkPoint]
    segments: int
    days_to_end: int | None
    next_run: datetime | None
    is_paused: bool


class AudienceList(BaseModel):
    """A page of the table.

    :param total: audiences that fit the filter, of those that the reader may see.
    :param by_health: of those that fit the search and all filters but that of the health.
    :param platforms: of all that the reader may see, for the filter.
    :param owners: likewise.
    :param now: when this was told.
    """

    total: int
    offset: int
    limit: int
    audiences: list[AudienceRow]
    by_health: dict[Health, int]
    platforms: list[str]
    owners: list[str]
    now: datetime


class LoadRow(BaseModel):
    """A confirmed load.

    :param days: the load date, or the range of days: ``2026-11-01..2026-11-20``.
    :param s3_keys: objects that were written for it, where the platform takes files in S3; more than one where a
        replacement or a mirror needed several.
    :param rejected_by_reason: reason code to rows.
    :param rejects: where the list of rejects lies.
    :param run: its run in Airflow.
    """

    days: str
    load_date: date
    mode: str
    outcome: str
    confirmed_at: datetime | None
    rows_read: int
    rows_sent: int
    duplicates: int
    rejected: int
    rejected_by_reason: dict[str, int]
    match_rates: list[Rate]
    s3_keys: list[Link]
    rejects: Link | None
    run: Link | None


class LoadList(BaseModel):
    """A page of the load history, newest load date first."""

    total: int
    offset: int
    limit: int
    loads: list[LoadRow]


class RunRow(BaseModel):
    """A run of the onboarding DAG that has no confirmed load (yet).

    :param state: ``queued``, ``running``, ``failed``, ``stopped`` (by a guard or a match rate), ``dry_run`` (it ended
        well, and was to send nothing), ``skipped`` (it ended well without a load).
    """

    run_id: str
    days: str | None
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    link: Link


class AudienceDetail(BaseModel):
    """All that the page of one audience shows, but the load history.

    :param campaign: the campaign's name, where the platform has campaigns.
    :param actions: what waits for a person, most urgent first.
    :param forms: trigger forms of this audience that the reader may open: load, backfill, activate, erase, retire.
    :param links: portal, asset, DAGs.
    :param recent_runs: of the last runs those without a confirmed load, newest first, at most 10.
    """

    audience: AudienceRow
    description: str | None
    campaign: str | None
    segments: list[Segment]
    actions: list[Action]
    forms: list[Link]
    links: list[Link]
    recent_runs: list[RunRow]
    now: datetime = Field(description="When this was told.")
