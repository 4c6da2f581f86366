"""CommBox's tasks of an onboarding DAG."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset

from audience_onboarding.base.operators import EnsuredAudience
from audience_onboarding.base.pools import connection_pool
from audience_onboarding.platforms.commbox.definition import CommBoxDefinition
from audience_onboarding.platforms.commbox.operators import (
    CommBoxFindAudienceOperator,
    CommBoxOnboardCrmOperator,
)
from audience_onboarding.platforms.commbox.sensors import CommBoxUserCountSensor


def ensure_audience(definition: CommBoxDefinition, asset: Asset) -> EnsuredAudience:
    """Return the task that finds the audience; the vendor creates one with its first list."""
    if definition.id is not None:
        return EnsuredAudience(definition.id)
    task = CommBoxFindAudienceOperator(
        task_id="find_audience",
        audience_name=definition.name,
        commbox_conn_id=definition.conn_id,
        asset=asset,
        pool=connection_pool(definition.conn_id),
    )
    return EnsuredAudience(task.output)


def upload(definition: CommBoxDefinition, **common: Any) -> CommBoxOnboardCrmOperator:
    """Create the task that prepares and uploads the list.

    :param common: arguments that all platforms share.
    """
    return CommBoxOnboardCrmOperator(
        audience_name=definition.name, commbox_conn_id=definition.conn_id, **common
    )


def wait_for_confirmation(definition: CommBoxDefinition, **common: Any) -> CommBoxUserCountSensor:
    """Create the task that waits until the vendor counts the uploaded customers.

    :param common: arguments that all platforms share, among them the output of the upload task.
    """
    return CommBoxUserCountSensor(
        task_id="wait_for_confirmation",
        minimum_ratio=definition.wait.minimum_ratio,
        commbox_conn_id=definition.conn_id,
        **common,
    )
