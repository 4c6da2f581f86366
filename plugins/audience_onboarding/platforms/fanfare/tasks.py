"""Fanfare's tasks of an onboarding DAG."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset

from audience_onboarding.base.operators import EnsuredAudience
from audience_onboarding.base.pools import connection_pool
from audience_onboarding.platforms.fanfare.definition import FanfareDefinition
from audience_onboarding.platforms.fanfare.operators import FanfareCreateAudienceOperator
from audience_onboarding.platforms.fanfare.sensors import FanfareImportSensor
from audience_onboarding.platforms.fanfare.upload import FanfareOnboardCrmOperator


def ensure_audience(definition: FanfareDefinition, asset: Asset) -> EnsuredAudience:
    """The task that sees to the audience."""
    if definition.id is not None:
        return EnsuredAudience(definition.id)
    task = FanfareCreateAudienceOperator(
        task_id="ensure_audience",
        audience_name=definition.name,
        description=definition.description,
        fanfare_conn_id=definition.conn_id,
        asset=asset,
        is_dry_run="{{ params.dry_run }}",
        max_active_tis_per_dag=1,
        pool=connection_pool(definition.conn_id),
    )
    return EnsuredAudience(task.output)


def upload(definition: FanfareDefinition, **common: Any) -> FanfareOnboardCrmOperator:
    """Create the task that prepares and imports the list.

    :param common: arguments that all platforms share.
    """
    return FanfareOnboardCrmOperator(
        rows_per_import=definition.upload.rows_per_import,
        poke_interval=definition.wait.poll_interval_seconds,
        import_timeout=timedelta(hours=definition.wait.timeout_hours).total_seconds(),
        fanfare_conn_id=definition.conn_id,
        **common,
    )


def wait_for_confirmation(definition: FanfareDefinition, **common: Any) -> FanfareImportSensor:
    """Create the task that waits until the import has finished.

    :param common: arguments that all platforms share, among them the output of the upload task.
    """
    return FanfareImportSensor(
        task_id="wait_for_confirmation",
        fanfare_conn_id=definition.conn_id,
        **common,
    )
