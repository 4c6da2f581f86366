"""What Airflow loads as a plugin."""

from __future__ import annotations

import logging
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.plugins_manager import AirflowPlugin

from audience_onboarding.base.erasure_conf import (
    ERASE_DAG_ID,
    HASH_FIELDS,
    KEPT_AFTER_FAILURE,
    audit_without_people,
    without_people,
    without_unknown,
)
from audience_onboarding.base.pools import (
    CREATE_POOL,
    OUR_POOLS,
    connection_pool,
    description_of,
    slots_of,
)
from audience_onboarding.preload import preload
from audience_onboarding.ui.plugin_views import external_view, fastapi_app

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """When a component starts, import what the processes that it forks will need, and create the pools of the package:
    that of creations, and those of the connections that the definitions name, as far as these are where they usually
    are.

    A run that starts makes the pools that are missing, see :func:`_make_pools`. This is for runs that are under way
    while the package is updated, and for people who look at the list of pools.

    Airflow calls this before a job knows its own type, so it is done for each job that starts: the scheduler, the
    triggerer and the DAG processor, which all have the database. The tasks' own processes do not.
    """
    from airflow.jobs.job import Job

    if not isinstance(component, Job):
        return
    preload()
    from airflow.utils.session import create_session

    with create_session() as session:
        _make_missing({CREATE_POOL, *_pools_of_definitions()}, session)


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
        # Anything: a folder of files must not keep Airflow from starting.
        log.exception("The definitions cannot be read; pools are made when runs start")
        return set()


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Remove from the conf of ``erase_person`` whom it was about: nobody needs the hashes any more.

    The scheduler calls this in its own transaction, and so does the API server when a person marks a run a success.
    """
    if dag_run.dag_id == ERASE_DAG_ID:
        _forget_people(dag_run)


def _forget_people(dag_run: Any) -> None:
    """Remove the hashes of a run, those of runs that have failed long ago, and all of the audit log of the DAG."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.state import DagRunState
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    cleaned = without_people(dag_run.conf)
    if cleaned is not None:
        # A new value: what changes inside the old one is not noticed.
        dag_run.conf = cleaned
    session = object_session(dag_run)
    if session is None:
        return
    limit = datetime.now(timezone.utc) - KEPT_AFTER_FAILURE
    old = select(DagRun).where(
        DagRun.dag_id == ERASE_DAG_ID, DagRun.state == DagRunState.FAILED, DagRun.end_date < limit
    )
    for failed in session.scalars(old):
        conf = without_people(failed.conf)
        if conf is not None:
            failed.conf = conf
    _forget_audit(session)


def _forget_audit(session: Any) -> None:
    """Remove what was typed into the form from the audit log: Airflow writes it there, also where it refuses it."""
    from airflow.models import Log
    from sqlalchemy import select

    for entry in session.scalars(select(Log).where(Log.dag_id == ERASE_DAG_ID, Log.extra.is_not(None))):
        extra = audit_without_people(entry.extra)
        if extra is not None:
            entry.extra = extra


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """See to what a starting run needs, see :func:`_make_pools`; remove from the conf of ``erase_person`` what its form
    does not have, before a task sees it."""
    _make_pools(dag_run)
    if dag_run.dag_id != ERASE_DAG_ID:
        return
    from sqlalchemy.orm import object_session

    known = without_unknown(dag_run.conf)
    if known is not None:
        dag_run.conf = known
    session = object_session(dag_run)
    if session is not None:
        _forget_audit(session)


def _make_pools(dag_run: Any) -> None:
    """Create the pools of ours that the tasks of a starting run name and that are not there.

    The scheduler calls the listener before the first task of the run is due, in the transaction in which the run
    starts. A pool that is not there would leave the tasks waiting without a word, whoever has deleted it, and however
    new the connection is that it is for.
    """
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return
    of_the_run = (TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id)
    ours = TaskInstance.pool.startswith(OUR_POOLS, autoescape=True)
    named = set(session.scalars(select(TaskInstance.pool).where(*of_the_run, ours).distinct()))
    _make_missing(named, session)


def _make_missing(names: set[str], session: Any) -> None:
    """Create those pools that are not there; one that is there is somebody's own by now."""
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
        session.execute(_insert_unless_there(Pool, session).values(**values))
        log.info("Created pool %s with %s slots", name, slots)


def _insert_unless_there(model: Any, session: Any) -> Any:
    """An INSERT that does nothing where another component has just been quicker: an error would end the transaction
    of the scheduler, and a savepoint is one of the commits that it forbids."""
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
    """Have Airflow's masker hide what is given in the fields of ``erase_person``.

    The API server writes each request into the audit log, before it looks at it and so also what it refuses, masked by
    the names of the fields. This adds ours, whatever ``[core] sensitive_var_conn_names`` says.
    """
    try:
        from airflow._shared.secrets_masker import _secrets_masker

        names = _secrets_masker().sensitive_variables_fields
        names.extend(name for name in HASH_FIELDS if name not in names)
    except Exception:
        # Anything: it is not part of Airflow's public interface, and the audit log is cleaned at the next run as well.
        log.exception("Airflow's masker was not told of the fields of %s", ERASE_DAG_ID)


class AudienceOnboardingPlugin(AirflowPlugin):
    """Listens for the start of Airflow's components and of runs, and for the end of ``erase_person``; brings the
    Audiences page along."""

    name = "audience_onboarding"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - as Airflow declares it
    fastapi_apps = [fastapi_app()]  # noqa: RUF012
    external_views = [external_view()]  # noqa: RUF012

    @classmethod
    def on_load(cls, *_: Any, **__: Any) -> None:
        """Each component calls this when it loads its plugins."""
        mask_hash_fields()
