"""Airflow plugin: pools, preload, redaction of finished `erase_person` runs, and the Audiences page."""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.plugins_manager import AirflowPlugin

from audience_onboarding.base.erasure_conf import (
    HASH_FIELDS,
    RETENTION_AFTER_FAILURE,
    drop_unknown_fields,
    redact_audit_entry,
    redact_hashes,
)
from audience_onboarding.base.pools import CREATE_POOL, POOL_PREFIX, connection_pool, description_of, slots_of
from audience_onboarding.dag_ids import ERASE_DAG_ID
from audience_onboarding.preload import preload
from audience_onboarding.ui.plugin_views import external_view, fastapi_app

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Preload the modules of tasks, and create the pool of creates and those of the connections of the definitions.

    A starting run creates missing pools, too, see :func:`_create_pools_of_run`. The pools are created here for runs
    that are active during an update of the package, and for the list of pools in the UI.

    Airflow calls this before a job knows its type, so it runs in the scheduler, the triggerer and the DAG processor.
    All of them have the database; the tasks' processes do not.
    """
    from airflow.jobs.job import Job

    if not isinstance(component, Job):
        return
    preload()
    from airflow.utils.session import create_session

    with create_session() as session:
        _create_missing_pools({CREATE_POOL, *_pools_of_definitions()}, session)


def _pools_of_definitions() -> set[str]:
    try:
        from airflow.configuration import conf

        from audience_onboarding.definitions import AudienceDefinition, definitions_folder, read_definitions

        folder = definitions_folder(Path(conf.get_mandatory_value("core", "dags_folder")).parent)
        return {
            connection_pool(item.conn_id)
            for item in read_definitions(folder)
            if isinstance(item, AudienceDefinition)
        }
    except Exception:
        # Any exception: a broken definition must not keep Airflow from starting.
        log.exception("Reading the definitions failed; pools are created when runs start")
        return set()


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Redact the hashes in the conf of a successful ``erase_person`` run.

    The scheduler calls this in its own transaction, and so does the API server when a user marks a run as success.
    """
    if dag_run.dag_id == ERASE_DAG_ID:
        _redact_runs(dag_run)


def _redact_runs(dag_run: Any) -> None:
    """Redact the hashes of a run, of runs that failed long ago, and of the DAG's audit log."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import DagRunState
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    conf = redact_hashes(dag_run.conf)
    if conf is not None:
        # A new value: SQLAlchemy does not notice changes inside the old one.
        dag_run.conf = conf
    session = object_session(dag_run)
    if session is None:
        return
    limit = datetime.now(timezone.utc) - RETENTION_AFTER_FAILURE
    old = select(DagRun).where(
        DagRun.dag_id == ERASE_DAG_ID, DagRun.state == DagRunState.FAILED, DagRun.end_date < limit
    )
    for failed in session.scalars(old):
        conf = redact_hashes(failed.conf)
        if conf is not None:
            failed.conf = conf
    _redact_audit_log(session)


def _redact_audit_log(session: Any) -> None:
    """Redact the form's input in the audit log, where Airflow writes it even if it refuses the request."""
    from airflow.models import Log
    from sqlalchemy import select

    for entry in session.scalars(select(Log).where(Log.dag_id == ERASE_DAG_ID, Log.extra.is_not(None))):
        extra = redact_audit_entry(entry.extra)
        if extra is not None:
            entry.extra = extra


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Create missing pools, and drop unknown fields from the conf of ``erase_person`` before a task reads it."""
    _create_pools_of_run(dag_run)
    if dag_run.dag_id != ERASE_DAG_ID:
        return
    from sqlalchemy.orm import object_session

    conf = drop_unknown_fields(dag_run.conf)
    if conf is not None:
        dag_run.conf = conf
    session = object_session(dag_run)
    if session is not None:
        _redact_audit_log(session)


def _create_pools_of_run(dag_run: Any) -> None:
    """Create the missing pools of the package that the tasks of a starting run use.

    The scheduler calls the listener before the run's first task, in the transaction in which the run starts. Tasks of a
    pool that does not exist would wait forever without a message.
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    in_run = (TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    in_package = TaskInstance.pool.startswith(POOL_PREFIX, autoescape=True)
    names = set(session.scalars(select(TaskInstance.pool).where(*in_run, in_package).distinct()))
    _create_missing_pools(names, session)


def _create_missing_pools(names: set[str], session: Any) -> None:
    """Create those pools that do not exist. An existing one stays as its owner configured it."""
    from airflow.models.pool import Pool
    from sqlalchemy import select

    if not names:
        return
    missing = names - set(session.scalars(select(Pool.pool).where(Pool.pool.in_(names))))
    for name in sorted(missing):
        slots = slots_of(name)
        values = {
            "pool": name,
            "slots": slots,
            "description": description_of(name),
            "include_deferred": False,
        }
        session.execute(_insert_if_missing(Pool, session).values(**values))
        log.info("Created pool %s with %s slots", name, slots)


def _insert_if_missing(model: Any, session: Any) -> Any:
    """Return an INSERT that does nothing if another component was faster.

    An error would end the scheduler's transaction, and a savepoint is one of the commits that it forbids.
    """
    dialect = session.get_bind().dialect.name
    if dialect == "mysql":
        from sqlalchemy.dialects.mysql import insert as insert_mysql

        return insert_mysql(model).prefix_with("IGNORE")
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgres

        return insert_postgres(model).on_conflict_do_nothing()
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite

    return insert_sqlite(model).on_conflict_do_nothing()


def mask_hash_fields() -> None:
    """Make Airflow's masker hide the hash fields of ``erase_person``, for any ``[core] sensitive_var_conn_names``.

    The API server writes each request to the audit log before it validates it, masked by field name.
    """
    try:
        from airflow._shared.secrets_masker import _secrets_masker

        names = _secrets_masker().sensitive_variables_fields
        names.extend(name for name in HASH_FIELDS if name not in names)
    except Exception:
        # Any exception: this is not Airflow's public interface, and the next run redacts the audit log, too.
        log.exception("Adding the fields of %s to Airflow's masker failed", ERASE_DAG_ID)


class AudienceOnboardingPlugin(AirflowPlugin):
    """Registers the listeners above and the Audiences page."""

    name = "audience_onboarding"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - as Airflow declares it
    fastapi_apps = [fastapi_app()]  # noqa: RUF012
    external_views = [external_view()]  # noqa: RUF012

    @classmethod
    def on_load(cls, *_: Any, **__: Any) -> None:
        """Run when a component loads its plugins."""
        mask_hash_fields()
