"""What Airflow loads as a plugin."""

from __future__ import annotations

import logging
import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.sdk.plugins_manager import AirflowPlugin

from audience_onboarding.orchestration.pools import CREATE_POOL, CREATE_POOL_DESCRIPTION

log = logging.getLogger(__name__)


@hookimpl
def on_starting(component: Any) -> None:
    """Create the pool that the DAGs name, when a scheduler starts: without it, their tasks would never run.

    Airflow calls this before a job knows its own type, so it is done for each job that starts: the scheduler, the
    triggerer and the DAG processor, which all have the database. The tasks' own processes do not.
    """
    from airflow.jobs.job import Job

    if not isinstance(component, Job):
        return
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy.exc import IntegrityError

    try:
        with create_session() as session:
            if Pool.get_pool(CREATE_POOL, session=session) is None:
                Pool.create_or_update_pool(
                    CREATE_POOL,
                    slots=1,
                    description=CREATE_POOL_DESCRIPTION,
                    include_deferred=False,
                    session=session,
                )
                log.info("Created pool %s", CREATE_POOL)
    except IntegrityError:
        log.debug("Another component has just created pool %s", CREATE_POOL)


class AudienceOnboardingPlugin(AirflowPlugin):
    """Listens for the start of Airflow's components."""

    name = "audience_onboarding"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - as Airflow declares it
