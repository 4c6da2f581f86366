"""The tasks of an onboarding DAG that are CommBox's own."""

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
    """The task that looks for the audience, which is created with its first list."""
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
    """The task that prepares and uploads.

    :param common: the arguments that all platforms share.
    """
    return CommBoxOnboardCrmOperator(
        audience_name=definition.name, commbox_conn_id=definition.conn_id, **common
    )


def wait_for_confirmation(definition: CommBoxDefinition, **common: Any) -> CommBoxUserCountSensor:
    """The task that waits until the vendor counts what was sent.

    :param common: the arguments that all platforms share, among them the output of the sending task.
    """
    return CommBoxUserCountSensor(
        task_id="wait_for_confirmation",
        minimum_ratio=definition.wait.minimum_ratio,
        commbox_conn_id=definition.conn_id,
        **common,
    )
