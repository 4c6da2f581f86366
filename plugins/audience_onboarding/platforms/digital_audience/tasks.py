"""Digital Audience's tasks of an onboarding DAG."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, TriggerRule, chain

from audience_onboarding.base.operators import EnsuredAudience
from audience_onboarding.base.pools import CREATE_POOL, connection_pool
from audience_onboarding.base.templating import RemoteId
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.platforms.digital_audience.operators import (
    CAMPAIGN_ID,
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
    DigitalAudienceLookupAudienceOperator,
)
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.platforms.digital_audience.upload import DigitalAudienceOnboardCrmToS3Operator
from audience_onboarding.state.store import campaign_asset

_LOOKUP = "lookup_audience"
_CAMPAIGN = "ensure_campaign"
_AUDIENCE = "ensure_audience"
_READY = "audience_ready"

_RETURNED = "return_value"


def ensure_audience(definition: DigitalAudienceDefinition, asset: Asset) -> EnsuredAudience:
    """Return the tasks that ensure campaign and audience.

    Only one task at a time, of all audiences, may create a campaign. So the first task reads the stored ids and skips
    the tasks that would create existing objects.
    """
    if definition.id is not None:
        return EnsuredAudience(definition.id)
    if definition.campaign is None or definition.campaign.id is not None:
        pinned = None if definition.campaign is None else definition.campaign.id
        return EnsuredAudience(_create_audience(definition, asset, pinned).output)
    name = str(definition.campaign.name)
    campaign = campaign_asset(definition.platform, definition.conn_id, name)
    lookup = DigitalAudienceLookupAudienceOperator(
        task_id=_LOOKUP,
        digital_audience_conn_id=definition.conn_id,
        asset=asset,
        campaign_asset=campaign,
        campaign_task_id=_CAMPAIGN,
        audience_task_id=_AUDIENCE,
        pool=connection_pool(definition.conn_id),
    )
    create_campaign = DigitalAudienceCreateCampaignOperator(
        task_id=_CAMPAIGN,
        campaign_name=name,
        digital_audience_conn_id=definition.conn_id,
        asset=campaign,
        audience_key=definition.key,
        is_dry_run="{{ params.dry_run }}",
        pool=CREATE_POOL,
    )
    create_audience = _create_audience(
        definition,
        asset,
        _first_pushed((_LOOKUP, CAMPAIGN_ID), (_CAMPAIGN, _RETURNED)),
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    )
    # Later tasks cannot ignore skipped upstream tasks themselves. The scheduler runs this one without a worker slot.
    ready = EmptyOperator(task_id=_READY, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    chain(lookup, create_campaign, create_audience, ready)
    lookup >> [create_audience, ready]
    return EnsuredAudience(_first_pushed((_LOOKUP, _RETURNED), (_AUDIENCE, _RETURNED)), (ready,))


def _create_audience(
    definition: DigitalAudienceDefinition, asset: Asset, campaign_id: RemoteId | None, **more: Any
) -> DigitalAudienceCreateCrmAudienceOperator:
    return DigitalAudienceCreateCrmAudienceOperator(
        task_id=_AUDIENCE,
        audience_name=definition.name,
        description=definition.description,
        campaign_id=campaign_id,
        digital_audience_conn_id=definition.conn_id,
        asset=asset,
        is_dry_run="{{ params.dry_run }}",
        max_active_tis_per_dag=1,
        pool=connection_pool(definition.conn_id),
        **more,
    )


def _first_pushed(*xcoms: tuple[str, str]) -> str:
    """Return a template of the first of these XComs that exists.

    It names no task output: an output would make its task an upstream one that must succeed.

    :param xcoms: task id and key of each.
    """
    pulls = [f"ti.xcom_pull(task_ids={task_id!r}, key={key!r})" for task_id, key in xcoms]
    # Airflow returns an empty list for a missing one.
    return f"{{{{ {' or '.join(pulls)} or '' }}}}"


def upload(definition: DigitalAudienceDefinition, **common: Any) -> DigitalAudienceOnboardCrmToS3Operator:
    """Create the task that prepares and uploads the list.

    :param common: arguments that all platforms share.
    """
    return DigitalAudienceOnboardCrmToS3Operator(
        bucket=definition.upload.bucket,
        aws_conn_id=definition.upload.aws_conn_id,
        on_second_daily_file=definition.upload.on_second_daily_file,
        rules=definition.wait,
        poke_interval=definition.wait.poll_interval_seconds,
        processing_timeout=timedelta(hours=definition.wait.timeout_hours).total_seconds(),
        digital_audience_conn_id=definition.conn_id,
        **common,
    )


def wait_for_confirmation(
    definition: DigitalAudienceDefinition, **common: Any
) -> DigitalAudienceAudienceStateSensor:
    """Create the task that waits until the vendor has processed the upload.

    :param common: arguments that all platforms share, among them the output of the upload task.
    """
    return DigitalAudienceAudienceStateSensor(
        task_id="wait_for_confirmation",
        rules=definition.wait,
        digital_audience_conn_id=definition.conn_id,
        **common,
    )
