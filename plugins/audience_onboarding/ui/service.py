"""Build the API's responses from the loaded audiences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from audience_onboarding import dag_ids
from audience_onboarding.state.create_once import VISIBILITY_TIMEOUT
from audience_onboarding.timestamps import format_utc
from audience_onboarding.ui import models, queries
from audience_onboarding.ui.health import (
    BLOCKING_ERRORS,
    FinishedRun,
    HealthInputs,
    ScheduledRun,
    evaluate_health,
)
from audience_onboarding.ui.links import AirflowPaths, file_links, rejects_link
from audience_onboarding.ui.loader import (
    Approval,
    Audience,
    AudienceLoader,
    Reader,
    Run,
    TaskFailure,
    load_failures,
    root_failure,
    select_readable,
)
from audience_onboarding.ui.models import Health, Link
from audience_onboarding.ui.stored_records import (
    Intent,
    Load,
    LoadKey,
    best_rate,
    parse_best_rate,
    parse_record,
)

MAX_RECENT_RUNS = 10
"""Maximum number of runs without a confirmed load in a response."""

INSPECTED_RUNS = 30
"""Number of newest runs that are searched for them."""

_URGENCY = {health: number for number, health in enumerate(Health)}


# --- health ---------------------------------------------------------------------------------------------------


def set_health(item: Audience, now: datetime) -> None:
    """Set the segments, their first expiry, and the health of an audience."""
    today = now.date()
    item.segments = item.state.merge_segments(item.segment_events, item.extensions, today)
    expiries = [(segment.end, segment) for segment in item.segments if segment.end and segment.end >= today]
    end, first = min(expiries, key=lambda pair: pair[0], default=(None, None))
    expiry = (end, repr(first.name or first.target)) if end and first else None
    item.days_to_expiry = first.days_left if first else None
    item.health, item.reason = evaluate_health(_health_inputs(item, now, expiry))


def _health_inputs(item: Audience, now: datetime, next_expiry: tuple[date, str] | None) -> HealthInputs:
    last, retired = item.last, item.state.retired
    running = item.runs.get(queries.RUNNING) or item.runs.get(queries.QUEUED)
    scheduled = item.runs.get(queries.SCHEDULED)
    failed = item.runs.get(queries.FAILED)
    failure = root_failure(item.failures)
    return HealthInputs(
        now=now,
        required_actions=(
            *(_ambiguity(intent) for intent in _ambiguous_intents(item, now)),
            *map(_pending_approval, item.approvals),
        ),
        is_retired=retired is not None,
        retired_at=retired.at if retired else None,
        is_dag_missing=item.is_dag_missing,
        is_paused=item.is_paused,
        next_run=item.next_run,
        load_date=last.load_date if last else None,
        confirmed_at=last.confirmed_at if last else None,
        failed=FinishedRun(failed.run_id, failed.load_date, failed.end_date, failure.error, failure.task_id)
        if failed and not failed.is_dry_run
        else None,
        scheduled=ScheduledRun(scheduled.load_date, scheduled.state, scheduled.run_after)
        if scheduled
        else None,
        is_running=running is not None,
        running_since=running.start_date if running else None,
        next_expiry=next_expiry,
    )


def _ambiguous_intents(item: Audience, now: datetime) -> list[Intent]:
    """Return the intents whose request is no longer in flight."""
    return [
        intent
        for intent in item.state.intents
        if intent.has_ended or intent.at is None or now - intent.at > VISIBILITY_TIMEOUT
    ]


def _ambiguity(intent: Intent) -> str:
    at = f" at {format_utc(intent.at)}" if intent.at else ""
    return f"It is unknown whether the {intent.subject} was created{at}; check the vendor's portal, then resolve it"


def _pending_approval(approval: Approval) -> str:
    subject = "The retirement" if approval.dag_id == dag_ids.RETIRE_DAG_ID else "An activation"
    since = f" since {format_utc(approval.since)}" if approval.since else ""
    return f"{subject} has been waiting for approval{since}; approve or reject it"


# --- table ----------------------------------------------------------------------------------------------------


SORT_KEYS: dict[str, Callable[[Audience], Any]] = {
    "key": lambda item: item.key,
    "title": lambda item: item.title.casefold(),
    "platform": lambda item: item.platform,
    "vendor_state": lambda item: item.last and item.last.vendor_state,
    "last_load_date": lambda item: item.last and item.last.load_date,
    "rows_sent": lambda item: item.last and item.last.rows_sent,
    "match_rate": lambda item: best_rate(item.last.match_rates) if item.last else None,
    "segments": lambda item: len(item.segments),
    "days_to_expiry": lambda item: item.days_to_expiry,
    "next_run": lambda item: item.next_run,
    "health": lambda item: _URGENCY[item.health],
}


class ListRequest(BaseModel):
    """Filters, order and page of the table, as query parameters.

    :param sort: a key of :data:`SORT_KEYS`; a leading dash reverses the order.
    """

    search: str = Field("", max_length=200)
    platform: list[str] = []
    health: list[Health] = []
    owner: list[str] = []
    sort: str = Field("health", pattern=f"^-?({'|'.join(SORT_KEYS)})$")
    limit: int = Field(50, ge=1, le=200)
    offset: int = Field(0, ge=0)


def list_audiences(
    session: Session, reader: Reader, request: ListRequest, now: datetime
) -> models.AudienceList:
    """Return a page of the table."""
    items = select_readable(AudienceLoader(session).load(), reader)
    for item in items:
        set_health(item, now)
    platforms = sorted({item.platform for item in items})
    owners = sorted({item.owner for item in items if item.owner})
    items = [item for item in items if _matches(item, request)]
    by_health = dict.fromkeys(Health, 0)
    for item in items:
        by_health[item.health] += 1
    items = [item for item in items if not request.health or item.health in request.health]
    page = sort_audiences(items, request.sort)[request.offset : request.offset + request.limit]
    trends = _load_trends(session, [item.asset_id for item in page])
    return models.AudienceList(
        total=len(items),
        offset=request.offset,
        limit=request.limit,
        audiences=[_audience_row(item, trends.get(item.asset_id, [])) for item in page],
        by_health=by_health,
        platforms=platforms,
        owners=owners,
        generated_at=now,
    )


def _matches(item: Audience, request: ListRequest) -> bool:
    """Return whether an audience matches all filters except the one on health."""
    if request.platform and item.platform not in request.platform:
        return False
    if request.owner and item.owner not in request.owner:
        return False
    text = request.search.strip().casefold()
    return any(text in part.casefold() for part in (item.key, item.title, item.state.vendor_id or ""))


def sort_audiences(items: Iterable[Audience], sort: str) -> list[Audience]:
    """Sort audiences; ties by title and key, unknown values last in both directions.

    :param sort: a key of :data:`SORT_KEYS`, optionally with a leading dash.
    """
    sort_key = SORT_KEYS[sort.removeprefix("-")]
    items = sorted(items, key=lambda item: (item.title.casefold(), item.key))
    values = [(sort_key(item), item) for item in items]
    known = [(value, item) for value, item in values if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=sort.startswith("-"))
    return [item for _, item in known] + [item for value, item in values if value is None]


def _load_trends(session: Session, asset_ids: Collection[int]) -> dict[int, list[models.TrendPoint]]:
    points: dict[int, list[tuple[LoadKey, models.TrendPoint]]] = defaultdict(list)
    rows = session.execute(queries.recent_loads(), {queries.ASSET_IDS: list(asset_ids)})
    for asset_id, text, value in rows:
        key = LoadKey.parse(text)
        if key is not None:
            point = models.TrendPoint.model_construct(load_date=key.last, rate=parse_best_rate(value))
            points[asset_id].append((key, point))
    return {
        asset_id: [point for _, point in sorted(pairs, key=lambda pair: pair[0].order)]
        for asset_id, pairs in points.items()
    }


def _match_rates(rates: Mapping[str, float | None]) -> list[models.MatchRate]:
    return [models.MatchRate.model_construct(identifier=name, rate=rate) for name, rate in rates.items()]


def _audience_row(item: Audience, trend: list[models.TrendPoint]) -> models.AudienceRow:
    last = item.last
    return models.AudienceRow.model_construct(
        key=item.key,
        title=item.title,
        platform=item.platform,
        owner=item.owner,
        dag_id=item.dag_id,
        audience_id=item.state.vendor_id,
        health=item.health,
        reason=item.reason,
        vendor_state=last.vendor_state if last else None,
        last_load_date=last.load_date if last else None,
        last_load_mode=last.mode if last else None,
        last_confirmed_at=last.confirmed_at if last else None,
        rows_sent=last.rows_sent if last else None,
        match_rates=_match_rates(last.match_rates) if last else [],
        trend=trend,
        segments=len(item.segments),
        days_to_expiry=item.days_to_expiry,
        next_run=None if item.is_paused else item.next_run,
        is_paused=item.is_paused,
    )


# --- one audience ---------------------------------------------------------------------------------------------

FORMS: tuple[tuple[str, Callable[[str], str], str], ...] = (
    ("Start a load", dag_ids.onboarding_dag_id, ""),
    ("Backfill", dag_ids.onboarding_dag_id, "backfills"),
    ("Load a date range", lambda _: dag_ids.LOAD_RANGE_DAG_ID, ""),
    ("Activate", dag_ids.activation_dag_id, ""),
    ("Set a segment's end date", lambda _: dag_ids.SET_END_DATE_DAG_ID, ""),
    ("Erase a person", lambda _: dag_ids.ERASE_DAG_ID, ""),
    ("Retire or reopen", lambda _: dag_ids.RETIRE_DAG_ID, ""),
)
"""Trigger forms of an audience: label, DAG id by key of the audience, and page of the DAG."""


def get_detail(
    session: Session, item: Audience, reader: Reader, *, paths: AirflowPaths, now: datetime
) -> models.AudienceDetail:
    """Return the page of an audience that the user may read."""
    set_health(item, now)
    used = {dag_id_for(item.key) for _, dag_id_for, _ in FORMS} | {item.dag_id}
    rows = session.execute(queries.existing_dags(), {queries.DAG_IDS: sorted(used)})
    existing = {dag_id for (dag_id,) in rows}
    triggerable = reader.triggerable(existing)
    trend = _load_trends(session, [item.asset_id]).get(item.asset_id, [])
    links = [
        Link(label=label, href=paths.dag(dag_id))
        for label, dag_id in (
            ("Onboarding DAG", item.dag_id),
            ("Activation DAG", dag_ids.activation_dag_id(item.key)),
        )
        if dag_id in existing
    ]
    return models.AudienceDetail(
        audience=_audience_row(item, trend),
        description=item.description,
        campaign=item.campaign,
        segments=item.segments,
        actions=list(_actions(item, paths, now)),
        forms=[
            Link(label=label, href=paths.dag(dag_id_for(item.key), page))
            for label, dag_id_for, page in FORMS
            if dag_id_for(item.key) in triggerable
        ],
        links=[*links, Link(label="Asset and its state store", href=paths.asset(item.asset_id))],
        recent_runs=_runs_without_load(session, item, paths),
        generated_at=now,
    )


def _actions(item: Audience, paths: AirflowPaths, now: datetime) -> Iterable[models.Action]:
    for intent in _ambiguous_intents(item, now):
        name = f" {intent.name!r}" if intent.name else ""
        at = f" at {format_utc(intent.at)}" if intent.at else ""
        yield models.Action(
            label=f"Resolve ambiguous create: {intent.subject}",
            href=paths.dag(dag_ids.RESOLVE_CREATE_DAG_ID),
            description=f"The request to create the {intent.subject}{name}{at} ended without a response. Check the "
            f"vendor's portal; then trigger this DAG with the audience {item.key!r}, the object {intent.subject!r} and "
            "the matching resolution.",
        )
    for approval in item.approvals:
        yield models.Action(
            label="Review the approval request",
            href=paths.task(approval.dag_id, approval.run_id, approval.task_id, "required_actions"),
            description=f"{_pending_approval(approval)}.",
        )
    if item.health is Health.ACTION_REQUIRED and item.is_dag_missing and not item.state.retired:
        yield models.Action(
            label="Retire the audience", href=paths.dag(dag_ids.RETIRE_DAG_ID), description=item.reason
        )
    run = item.runs.get(queries.FAILED)
    if run is not None and item.health in {Health.FAILED, Health.BLOCKED}:
        task_id = root_failure(item.failures).task_id
        href = paths.task(item.dag_id, run.run_id, task_id) if task_id else paths.run(item.dag_id, run.run_id)
        yield models.Action(label=f"Open the {item.health.value} load", href=href, description=item.reason)


def _runs_without_load(session: Session, item: Audience, paths: AirflowPaths) -> list[models.RunRow]:
    """Return the newest runs without a confirmed load."""
    newest = {queries.DAG_ID: item.dag_id, queries.LIMIT: INSPECTED_RUNS}
    runs = [Run.from_row(row) for row in session.execute(queries.recent_runs(), newest)]
    loaded_periods = {key.period for key in _load_keys(session, item).values()}
    failures = load_failures(session, [run.id for run in runs])
    last_run_id = item.last.run_id if item.last else None
    rows = [
        models.RunRow(
            run_id=run.run_id,
            period=run.period,
            state=_run_state(run, failures.get(run.id, [])),
            started_at=run.start_date,
            ended_at=run.end_date,
            link=Link(label=run.run_id, href=paths.run(item.dag_id, run.run_id)),
        )
        for run in runs
        if run.state != "success" or (run.run_id != last_run_id and run.period not in loaded_periods)
    ]
    return rows[:MAX_RECENT_RUNS]


def _run_state(run: Run, failures: Sequence[TaskFailure]) -> str:
    if run.state == "success":
        return "dry_run" if run.is_dry_run else "skipped"
    is_blocked = run.state == "failed" and root_failure(failures).error in BLOCKING_ERRORS
    return Health.BLOCKED.value if is_blocked else run.state


# --- load history ---------------------------------------------------------------------------------------------


def list_loads(
    session: Session, item: Audience, *, paths: AirflowPaths, limit: int, offset: int
) -> models.LoadList:
    """Return a page of the load history, newest load date first."""
    keys = _load_keys(session, item)
    ordered = sorted(keys, key=lambda key: keys[key].order, reverse=True)
    page = ordered[offset : offset + limit]
    rows = session.execute(queries.loads(), {queries.ASSET_ID: item.asset_id, queries.KEYS: page})
    records = {key: (value, updated_at) for key, value, updated_at in rows}
    return models.LoadList(
        total=len(ordered),
        offset=offset,
        limit=limit,
        loads=[_load_row(keys[key], *records[key], item.dag_id, paths) for key in page if key in records],
    )


def _load_keys(session: Session, item: Audience) -> dict[str, LoadKey]:
    rows = session.execute(queries.load_keys(), {queries.ASSET_ID: item.asset_id})
    return {text: key for (text,) in rows if (key := LoadKey.parse(text)) is not None}


def _load_row(
    key: LoadKey, value: Any, updated_at: datetime | None, dag_id: str, paths: AirflowPaths
) -> models.LoadRow:
    load = parse_record(Load, value) or Load()
    run_id = load.run_id
    return models.LoadRow.model_construct(
        period=key.period,
        load_date=key.last,
        mode=key.mode,
        outcome=load.outcome or "confirmed",
        confirmed_at=load.confirmed_at or updated_at,
        rows_read=load.rows_read or 0,
        rows_sent=load.rows_sent or 0,
        duplicates=load.duplicates or 0,
        rejected=load.rejected or 0,
        rejected_by_reason=load.rejected_by_reason,
        match_rates=_match_rates(load.match_rates),
        files=file_links(load),
        rejects=rejects_link(load),
        run=Link(label=run_id, href=paths.run(dag_id, run_id)) if run_id else None,
    )
