"""What the page asks of Airflow's metadata database.

Each function is one statement, whatever the number of audiences, and each is written so that SQLite, PostgreSQL and
MySQL answer it from indexes that Airflow has: no functions of one database, no window over whole tables. Where the newest
row of each is wanted, it is looked up one by one inside the statement, which an index answers at once.

Bounds of names are ranges, not prefixes: an index answers them in each collation, and what else lies between them is sorted
out by whoever reads the rows.
"""

from __future__ import annotations

from collections.abc import Collection
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
from sqlalchemy import ColumnElement, Select, and_, func, literal, select, union_all
from sqlalchemy.orm import aliased
from sqlalchemy.sql.expression import CompoundSelect

from audience_onboarding.orchestration.dag_ids import EXTENSION_DAG_ID, EXTENSION_REPORT
from audience_onboarding.orchestration.memory import (
    AUDIENCE_KEY,
    CAMPAIGN_KEY,
    LAST_LOAD_KEY,
    RETIRED_KEY,
)
from audience_onboarding.orchestration.stops import STOP_KEY
from audience_onboarding.ui.records import LOADS, SEGMENTS

AUDIENCE_NAMES = ("audience", "audiencf")
SEGMENT_NAMES = ("segment", "segmenu")
CAMPAIGN_NAMES = ("campaign", "campaigo")
ONBOARDING_DAGS = ("onboard", "onboare")
ACTIVATION_DAGS = ("activate", "activatf")
"""Between which names the assets and DAGs of a kind lie."""

REPORTS = 3
"""Reports of the DAG that extends end dates that are read: the newest may be of one audience."""

SPARK_LOADS = 30
"""Loads of the small curve."""

WAITING_STATES = ("awaiting_input", "deferred")
"""States of a task that waits for a person."""

FAILED, RUNNING, QUEUED, SCHEDULED, ACTIVATED = "failed", "running", "queued", "scheduled", "activated"
"""Kinds of newest runs, see :func:`newest_runs`."""

Bounds = tuple[str, str]


def _between(column: Any, bounds: Bounds) -> ColumnElement[bool]:
    return and_(column >= bounds[0], column < bounds[1])


def audiences(name: str | None = None) -> Select[Any]:
    """The assets of audiences with the DAGs that publish them: one row for each pair.

    :param name: of the asset; without it, all.
    """
    wanted = AssetModel.name == name if name else _between(AssetModel.name, AUDIENCE_NAMES)
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
        .where(wanted, AssetModel.group == "audience")
    )


def memory(asset_id: int | None = None) -> Select[Any]:
    """What the state stores of audiences hold, without loads and segments."""
    keys = State.key.in_((AUDIENCE_KEY, LAST_LOAD_KEY, RETIRED_KEY))
    return _states(keys, asset_id)


def segments(asset_id: int | None = None) -> Select[Any]:
    """What the state stores of audiences hold of segments, intents included."""
    return _states(_between(State.key, SEGMENTS), asset_id)


def _states(keys: ColumnElement[bool], asset_id: int | None) -> Select[Any]:
    found = select(State.asset_id, State.key, State.value)
    if asset_id is not None:
        return found.where(State.asset_id == asset_id, keys)
    return (
        found.select_from(AssetModel)
        .join(State, and_(State.asset_id == AssetModel.id, keys))
        .where(_between(AssetModel.name, AUDIENCE_NAMES))
    )


def campaigns(dag_id: str | None = None) -> Select[Any]:
    """What is remembered of the campaigns that onboarding DAGs ensure."""
    wanted = (
        TaskInletAssetReference.dag_id == dag_id
        if dag_id
        else _between(TaskInletAssetReference.dag_id, ONBOARDING_DAGS)
    )
    return (
        select(TaskInletAssetReference.dag_id, AssetModel.name, State.value)
        .select_from(AssetModel)
        .join(TaskInletAssetReference, TaskInletAssetReference.asset_id == AssetModel.id)
        .outerjoin(State, and_(State.asset_id == AssetModel.id, State.key == CAMPAIGN_KEY))
        .where(_between(AssetModel.name, CAMPAIGN_NAMES), AssetModel.group == "campaign", wanted)
    )


def newest_runs(onboarding: str | None = None, activation: str | None = None) -> CompoundSelect[Any]:
    """Of each onboarding DAG the newest run that has failed, is running, is queued, and that was scheduled; of each
    activation DAG the newest one that a load has started. One row for each that there is.

    :param onboarding: id of the one DAG that is asked for; without it, all.
    :param activation: likewise.
    """
    loads = DagModel.dag_id == onboarding if onboarding else _between(DagModel.dag_id, ONBOARDING_DAGS)
    activations = DagModel.dag_id == activation if activation else _between(DagModel.dag_id, ACTIVATION_DAGS)
    return union_all(
        *(_newest_in_state(state, loads) for state in (FAILED, RUNNING, QUEUED)),
        _newest_of_type(SCHEDULED, ("scheduled", "schedulee"), loads),
        _newest_of_type(ACTIVATED, ("asset_triggered", "asset_triggeree"), activations),
    )


def _run(kind: str) -> Select[Any]:
    return select(
        literal(kind).label("kind"),
        DagRun.dag_id,
        DagRun.id,
        DagRun.run_id,
        DagRun._state.label("state"),
        DagRun.run_after,
        DagRun.start_date,
        DagRun.end_date,
        DagRun.partition_key,
        DagRun.conf,
    ).select_from(DagModel)


def _newest_id(state: str) -> Any:
    other = aliased(DagRun)
    return (
        select(func.max(other.id))
        .where(other.dag_id == DagModel.dag_id, other._state == state)
        .correlate(DagModel)
        .scalar_subquery()
    )


def _newest_in_state(state: str, dags: ColumnElement[bool]) -> Select[Any]:
    return _run(state).join(DagRun, DagRun.id == _newest_id(state)).where(dags)


def _newest_of_type(kind: str, run_ids: Bounds, dags: ColumnElement[bool]) -> Select[Any]:
    # The ids of runs of one type begin alike and go on with their moment, and there is an index with them.
    other = aliased(DagRun)
    newest = (
        select(func.max(other.run_id))
        .where(other.dag_id == DagModel.dag_id, _between(other.run_id, run_ids))
        .correlate(DagModel)
        .scalar_subquery()
    )
    return (
        _run(kind).join(DagRun, and_(DagRun.dag_id == DagModel.dag_id, DagRun.run_id == newest)).where(dags)
    )


def stops_of_newest(dag_id: str | None = None) -> Select[Any]:
    """What the failed tasks of the newest failed run of each onboarding DAG have noted."""
    dags = DagModel.dag_id == dag_id if dag_id else _between(DagModel.dag_id, ONBOARDING_DAGS)
    return (
        select(XComModel.dag_run_id, XComModel.task_id, XComModel.value)
        .select_from(DagModel)
        .join(XComModel, and_(XComModel.dag_run_id == _newest_id(FAILED), XComModel.key == STOP_KEY))
        .where(dags)
    )


def stops_of(run_ids: Collection[int]) -> Select[Any]:
    """What the failed tasks of some runs have noted."""
    return select(XComModel.dag_run_id, XComModel.task_id, XComModel.value).where(
        XComModel.dag_run_id.in_(run_ids), XComModel.key == STOP_KEY
    )


def approvals() -> Select[Any]:
    """Tasks that wait for a person to approve of something."""
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


def segment_news() -> Select[Any]:
    """The newest event of each segment's asset."""
    other = aliased(AssetEvent)
    newest = (
        select(other.id)
        .where(other.asset_id == AssetModel.id)
        .order_by(other.timestamp.desc(), other.id.desc())
        .limit(1)
        .correlate(AssetModel)
        .scalar_subquery()
    )
    return (
        select(AssetModel.name, AssetEvent.extra)
        .select_from(AssetModel)
        .join(AssetEvent, AssetEvent.id == newest)
        .where(_between(AssetModel.name, SEGMENT_NAMES), AssetModel.group == "segment")
    )


def segment_history(key: str, limit: int) -> Select[Any]:
    """The newest events of the segments' assets of one audience, newest first.

    :param key: of the audience.
    :param limit: how many; a target with a load date in its name has a new segment each period.
    """
    prefix = f"segment/{key}/"
    return (
        select(AssetModel.name, AssetEvent.extra)
        .join(AssetEvent, AssetEvent.asset_id == AssetModel.id)
        .where(AssetModel.name.startswith(prefix, autoescape=True), AssetModel.group == "segment")
        .order_by(AssetEvent.timestamp.desc(), AssetEvent.id.desc())
        .limit(limit)
    )


def extension_reports() -> Select[Any]:
    """The newest reports of the DAG that extends end dates, newest first."""
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


def last_loads(asset_ids: Collection[int]) -> Select[Any]:
    """The newest loads of some audiences, by their keys."""
    other = aliased(State)
    since = (
        select(other.key)
        .where(other.asset_id == AssetModel.id, _between(other.key, LOADS))
        .order_by(other.key.desc())
        .limit(1)
        .offset(SPARK_LOADS - 1)
        .correlate(AssetModel)
        .scalar_subquery()
    )
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
        .where(AssetModel.id.in_(asset_ids))
    )


def load_keys(asset_id: int) -> Select[Any]:
    """The keys of all loads of an audience."""
    return select(State.key).where(State.asset_id == asset_id, _between(State.key, LOADS))


def loads(asset_id: int, keys: Collection[str]) -> Select[Any]:
    """The records of some loads of an audience."""
    return select(State.key, State.value, State.updated_at).where(
        State.asset_id == asset_id, State.key.in_(keys)
    )


def recent_runs(dag_id: str, limit: int) -> Select[Any]:
    """The newest runs of a DAG."""
    return (
        select(
            DagRun.id,
            DagRun.run_id,
            DagRun._state.label("state"),
            DagRun.start_date,
            DagRun.end_date,
            DagRun.partition_key,
            DagRun.conf,
        )
        .where(DagRun.dag_id == dag_id)
        .order_by(DagRun.id.desc())
        .limit(limit)
    )


def dags(dag_ids: Collection[str]) -> Select[Any]:
    """Which of these DAGs there are."""
    return select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids), DagModel.is_stale.is_(False))
