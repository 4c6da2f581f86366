"""What Airflow loads as a plugin."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.plugins_manager import AirflowPlugin

from audience_onboarding.orchestration.pools import (
    CREATE_POOL,
    OUR_POOLS,
    connection_pool,
    description_of,
    slots_of,
)

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Create the pools of the package when a scheduler starts: that of creations, and those of the connections that
    the definitions name, as far as these are where they usually are.

    A run that starts makes what is missing, see :func:`on_dag_run_running`. This is for runs that are under way while
    the package is updated, and for people who look at the list of pools.

    Airflow calls this before a job knows its own type, so it is done for each job that starts: the scheduler, the
    triggerer and the DAG processor, which all have the database. The tasks' own processes do not.
    """
    from airflow.jobs.job import Job

    if not isinstance(component, Job):
        return
    from airflow.utils.session import create_session

    with create_session() as session:
        _make_missing({CREATE_POOL, *_pools_of_definitions()}, session)


def _pools_of_definitions() -> set[str]:
    try:
        from airflow.configuration import conf

        from audience_onboarding.definitions import AudienceDefinition, definitions_folder, read_definitions

        folder = definitions_folder(Path(conf.get_mandatory_value("core", "dags_folder")).parent)
        return {
            connection_pool(item.connection)
            for item in read_definitions(folder)
            if isinstance(item, AudienceDefinition)
        }
    except Exception:
        # Anything: a folder of files must not keep Airflow from starting.
        log.exception("The definitions cannot be read; pools are made when runs start")
        return set()


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:  # noqa: ARG001 - Airflow's signature
    """Create the pools of ours that the tasks of a starting run name and that are not there.

    The scheduler calls this before the first task of the run is due, in the transaction in which the run starts. A
    pool that is not there would leave the tasks waiting without a word, whoever has deleted it, and however new the
    connection is that it is for.
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


class AudienceOnboardingPlugin(AirflowPlugin):
    """Listens for the start of Airflow's components and of runs."""

    name = "audience_onboarding"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - as Airflow declares it
