"""Queries of the page on Airflow's metadata database.

Each function builds one statement, independent of the number of audiences. SQLite, PostgreSQL and MySQL answer each
from Airflow's own indexes: no database-specific functions, no window over whole tables. The newest row per parent comes
from a correlated subquery, which is one index lookup per parent.

Bounds of names are ranges, not prefixes: an index answers them in each collation. Callers filter other names between
the bounds.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from airflow.models.asset import (
    AssetActive,
    AssetEvent,
    AssetModel,
    TaskInletAssetReference,
    TaskOutletAssetReference,
)
from airflow.models.asset_state_store import AssetStateStoreModel as State
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import (
    ColumnElement,
    Executable,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import aliased

from audience_onboarding.base.failure_xcom import FAILURE_XCOM_KEY
from audience_onboarding.dag_ids import EXTENSION_DAG_ID, EXTENSION_REPORT
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    CAMPAIGN_KEY,
    LAST_LOAD_KEY,
    RETIRED_KEY,
)
from audience_onboarding.ui.stored_records import LOADS, SEGMENTS

AUDIENCE_NAMES = ("audience", "audiencf")
SEGMENT_NAMES = ("segment", "segmenu")
CAMPAIGN_NAMES = ("campaign", "campaigo")
ONBOARDING_DAGS = ("onboard", "onboare")
SCHEDULED_RUNS = ("scheduled", "schedulee")
"""Bounds of the names of assets, DAGs and runs."""

REPORTS = 3
"""Number of reports of the DAG that extends end dates: the newest may cover a single audience."""

SPARK_LOADS = 30
"""Number of loads in the sparkline."""

SEGMENT_EVENTS = 60
"""Number of events per segment's asset on the page of one audience."""

WAITING_STATES = ("awaiting_input", "deferred")
"""States of a task that waits for a user."""

FAILED, RUNNING, QUEUED, SCHEDULED = "failed", "running", "queued", "scheduled"
"""Kinds of newest runs, see :func:`newest_runs`."""

Bounds = tuple[str, str]
Statement = Executable

# Building a statement costs more than running it, so each is built once, with bind parameters of these names.
ASSET_ID, ASSET_IDS, RUN_IDS, LIMIT = "asset_id_", "asset_ids", "run_ids", "limit_"
DAG_ID, DAG_IDS, NAME, PREFIX, KEYS = "dag_id_", "dag_ids", "name_", "prefix_", "keys_"


def _between(column: Any, bounds: Bounds) -> ColumnElement[bool]:
    return and_(column >= bounds[0], column < bounds[1])


def _one_or(column: Any, name: str, bounds: Bounds, *, one: bool) -> ColumnElement[bool]:
    return column == bindparam(name) if one else _between(column, bounds)


def _any_of(column: Any, name: str) -> ColumnElement[bool]:
    is_any: ColumnElement[bool] = column.in_(bindparam(name, expanding=True))
    return is_any


def _nth_per_parent(parent: Any, ordered: Select[Any], number: int = 1) -> ScalarSelect[Any]:
    """Select row ``number`` of ``ordered`` for each ``parent`` of a statement, NULL if there are fewer rows."""
    nth = ordered.limit(1) if number == 1 else ordered.limit(1).offset(number - 1)
    return nth.correlate(parent).scalar_subquery()


def _events() -> Select[Any]:
    """Select the events of an asset, newest first."""
    other = aliased(AssetEvent)
    return (
        select(other.id)
        .where(other.asset_id == AssetModel.id)
        .order_by(other.timestamp.desc(), other.id.desc())
    )


@cache
def audiences(*, one: bool = False) -> Statement:
    """Select the assets of audiences with the DAGs that publish them, a row per pair.

    :param one: only the asset :data:`NAME`.
    """
    return (
        select(
            AssetModel.id,
            AssetModel.name,
            AssetModel.uri,
            AssetActive.name.is_not(None).label("is_active"),
            DagModel.dag_id,
            DagModel.is_paused,
            DagModel.is_stale,
            DagModel.owners,
            DagModel._dag_display_property_value.label("display_name"),
            DagModel.description,
            DagModel.next_dagrun_create_after,
        )
        .outerjoin(AssetActive, and_(AssetActive.name == AssetModel.name, AssetActive.uri == AssetModel.uri))
        .outerjoin(TaskOutletAssetReference, TaskOutletAssetReference.asset_id == AssetModel.id)
        .outerjoin(DagModel, DagModel.dag_id == TaskOutletAssetReference.dag_id)
        .where(_one_or(AssetModel.name, NAME, AUDIENCE_NAMES, one=one), AssetModel.group == "audience")
    )


@cache
def audience_entries(*, one: bool = False) -> Statement:
    """Select state-store entries of audiences, without loads and segments.

    :param one: only those of :data:`ASSET_ID`.
    """
    return _entries(State.key.in_((AUDIENCE_KEY, LAST_LOAD_KEY, RETIRED_KEY)), one=one)


@cache
def segment_entries(*, one: bool = False) -> Statement:
    """Select state-store entries of segments, intents included.

    :param one: only those of :data:`ASSET_ID`.
    """
    return _entries(_between(State.key, SEGMENTS), one=one)


def _entries(keys: ColumnElement[bool], *, one: bool) -> Statement:
    entries = select(State.asset_id, State.key, State.value)
    if one:
        return entries.where(State.asset_id == bindparam(ASSET_ID), keys)
    return (
        entries.select_from(AssetModel)
        .join(State, and_(State.asset_id == AssetModel.id, keys))
        .where(_between(AssetModel.name, AUDIENCE_NAMES))
    )


@cache
def campaigns(*, one: bool = False) -> Statement:
    """Select the campaigns that onboarding DAGs ensure, with their state-store entry.

    :param one: only that of :data:`DAG_ID`.
    """
    dags = _one_or(TaskInletAssetReference.dag_id, DAG_ID, ONBOARDING_DAGS, one=one)
    return (
        select(TaskInletAssetReference.dag_id, AssetModel.name, State.value)
        .select_from(AssetModel)
        .join(TaskInletAssetReference, TaskInletAssetReference.asset_id == AssetModel.id)
        .outerjoin(State, and_(State.asset_id == AssetModel.id, State.key == CAMPAIGN_KEY))
        .where(_between(AssetModel.name, CAMPAIGN_NAMES), AssetModel.group == "campaign", dags)
    )


@cache
def newest_runs(*, one: bool = False) -> Statement:
    """Select the newest failed, running, queued and scheduled run of each onboarding DAG, a row each.

    :param one: only those of :data:`DAG_ID`.
    """
    dags = _one_or(DagModel.dag_id, DAG_ID, ONBOARDING_DAGS, one=one)
    return union_all(
        *(_newest_in_state(state, dags) for state in (FAILED, RUNNING, QUEUED)), _newest_scheduled(dags)
    )


_RUN = (
    DagRun.id,
    DagRun.run_id,
    DagRun._state.label("state"),
    DagRun.run_after,
    DagRun.start_date,
    DagRun.end_date,
    DagRun.partition_key,
    DagRun.conf,
)


def _run(kind: str) -> Select[Any]:
    return select(literal(kind).label("kind"), DagRun.dag_id, *_RUN).select_from(DagModel)


def _newest_in_state(state: str, dags: ColumnElement[bool]) -> Select[Any]:
    other = aliased(DagRun)
    newest = (
        select(func.max(other.id))
        .where(other.dag_id == DagModel.dag_id, other._state == state)
        .correlate(DagModel)
        .scalar_subquery()
    )
    return _run(state).join(DagRun, DagRun.id == newest).where(dags)


def _newest_scheduled(dags: ColumnElement[bool]) -> Select[Any]:
    # Run ids of one type share a prefix, followed by the timestamp, and are indexed.
    other = aliased(DagRun)
    scheduled = select(other.id).where(
        other.dag_id == DagModel.dag_id, _between(other.run_id, SCHEDULED_RUNS)
    )
    newest = _nth_per_parent(DagModel, scheduled.order_by(other.run_id.desc()))
    return _run(SCHEDULED).join(DagRun, DagRun.id == newest).where(dags)


@cache
def task_failures() -> Statement:
    """Select the failures that tasks of :data:`RUN_IDS` recorded."""
    return select(XComModel.dag_run_id, XComModel.task_id, XComModel.value).where(
        _any_of(XComModel.dag_run_id, RUN_IDS), XComModel.key == FAILURE_XCOM_KEY
    )


@cache
def approvals() -> Statement:
    """Select tasks that wait for an approval."""
    return (
        select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            HITLDetail.created_at,
            DagRun.conf,
        )
        .select_from(TaskInstance)
        .join(HITLDetail, HITLDetail.ti_id == TaskInstance.id)
        .join(DagRun, and_(DagRun.dag_id == TaskInstance.dag_id, DagRun.run_id == TaskInstance.run_id))
        .where(TaskInstance.state.in_(WAITING_STATES), HITLDetail.responded_at.is_(None))
    )


@cache
def newest_segment_events() -> Statement:
    """Select the newest event of each segment's asset."""
    return (
        select(AssetModel.name, AssetEvent.extra)
        .select_from(AssetModel)
        .join(AssetEvent, AssetEvent.id == _nth_per_parent(AssetModel, _events()))
        .where(_between(AssetModel.name, SEGMENT_NAMES), AssetModel.group == "segment")
    )


_ESCAPE = "!"


def like_pattern(prefix: str) -> str:
    """Return the LIKE pattern of a prefix. LIKE is case-insensitive in some databases."""
    for character in (_ESCAPE, "%", "_"):
        prefix = prefix.replace(character, _ESCAPE + character)
    return f"{prefix}%"


@cache
def segment_events() -> Statement:
    """Select the newest events of each segment's asset whose name matches :data:`PREFIX`, see :func:`like_pattern`.

    Oldest first. A target with a load date in its name has several segments.
    """
    since = _nth_per_parent(AssetModel, _events(), SEGMENT_EVENTS)
    # An outer join makes the database start with the few assets, not with the many events.
    return (
        select(AssetModel.name, AssetEvent.extra)
        .select_from(AssetModel)
        .outerjoin(
            AssetEvent,
            and_(AssetEvent.asset_id == AssetModel.id, AssetEvent.id >= func.coalesce(since, 0)),
        )
        .where(AssetModel.name.like(bindparam(PREFIX), escape=_ESCAPE), AssetModel.group == "segment")
        .order_by(AssetEvent.id)
    )


@cache
def extension_reports() -> Statement:
    """Select the latest reports of the DAG that extends end dates, newest first."""
    task, key = EXTENSION_REPORT
    runs = (
        select(DagRun.id)
        .where(DagRun.dag_id == EXTENSION_DAG_ID)
        .order_by(DagRun.id.desc())
        .limit(REPORTS)
        .subquery()
    )
    return (
        select(XComModel.value)
        .join(runs, runs.c.id == XComModel.dag_run_id)
        .where(XComModel.task_id == task, XComModel.key == key)
        .order_by(XComModel.dag_run_id.desc())
    )


@cache
def recent_loads() -> Statement:
    """Select the newest loads of :data:`ASSET_IDS`, by their keys."""
    other = aliased(State)
    keys = select(other.key).where(other.asset_id == AssetModel.id, _between(other.key, LOADS))
    since = _nth_per_parent(AssetModel, keys.order_by(other.key.desc()), SPARK_LOADS)
    return (
        select(State.asset_id, State.key, State.value)
        .select_from(AssetModel)
        .join(
            State,
            and_(
                State.asset_id == AssetModel.id,
                State.key >= func.coalesce(since, LOADS[0]),
                State.key < LOADS[1],
            ),
        )
        .where(_any_of(AssetModel.id, ASSET_IDS))
    )


@cache
def load_keys() -> Statement:
    """Select the keys of all loads of :data:`ASSET_ID`."""
    return select(State.key).where(State.asset_id == bindparam(ASSET_ID), _between(State.key, LOADS))


@cache
def loads() -> Statement:
    """Select the records of the loads :data:`KEYS` of :data:`ASSET_ID`."""
    return select(State.key, State.value, State.updated_at).where(
        State.asset_id == bindparam(ASSET_ID), _any_of(State.key, KEYS)
    )


@cache
def recent_runs() -> Statement:
    """Select the newest :data:`LIMIT` runs of :data:`DAG_ID`."""
    return (
        select(*_RUN)
        .where(DagRun.dag_id == bindparam(DAG_ID))
        .order_by(DagRun.id.desc())
        .limit(bindparam(LIMIT))
    )


@cache
def existing_dags() -> Statement:
    """Select those of :data:`DAG_IDS` that exist."""
    return select(DagModel.dag_id).where(_any_of(DagModel.dag_id, DAG_IDS), DagModel.is_stale.is_(False))
