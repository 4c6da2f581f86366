"""The tasks of an onboarding DAG that are Digital Audience's own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset

from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.digital_audience.onboarding import DigitalAudienceOnboardCrmToS3Operator
from audience_onboarding.digital_audience.operators import (
    DigitalAudienceCreateCampaignOperator,
    DigitalAudienceCreateCrmAudienceOperator,
)
from audience_onboarding.digital_audience.readiness import rates_by_identifier
from audience_onboarding.digital_audience.sensors import DigitalAudienceAudienceStateSensor
from audience_onboarding.orchestration.memory import campaign_asset
from audience_onboarding.orchestration.pools import CREATE_POOL, connection_pool

VENDOR_PAGES = "https://doc.digitalaudience.io/product-docs/"
"""Where the vendor describes what these tasks do."""

RECORDED = ("bucket", "s3_key")
"""What the record of a load keeps of the upload, beside what it keeps on every platform."""

rates = rates_by_identifier
"""The match rates that a confirmed load has brought, of platforms whose definitions have ``match_rates``."""


def ensure(definition: DigitalAudienceDefinition, asset: Asset) -> Any:
    """The tasks that see to campaign and audience; returns the audience's id, or the output that will be it."""
    if definition.id is not None:
        return definition.id
    return DigitalAudienceCreateCrmAudienceOperator(
        task_id="ensure_audience",
        audience_name=definition.name,
        description=definition.description,
        campaign_id=_campaign(definition),
        digital_audience_conn_id=definition.connection,
        asset=asset,
        is_dry_run="{{ params.dry_run }}",
        max_active_tis_per_dag=1,
        pool=connection_pool(definition.connection),
    ).output


def _campaign(definition: DigitalAudienceDefinition) -> Any:
    if definition.campaign is None or definition.campaign.id is not None:
        return definition.campaign and definition.campaign.id
    name = str(definition.campaign.name)
    return DigitalAudienceCreateCampaignOperator(
        task_id="ensure_campaign",
        campaign_name=name,
        digital_audience_conn_id=definition.connection,
        asset=campaign_asset(definition.platform, definition.connection, name),
        audience_key=definition.key,
        is_dry_run="{{ params.dry_run }}",
        pool=CREATE_POOL,
    ).output


def send(definition: DigitalAudienceDefinition, **common: Any) -> DigitalAudienceOnboardCrmToS3Operator:
    """The task that prepares and uploads.

    :param common: the arguments that all platforms share.
    """
    return DigitalAudienceOnboardCrmToS3Operator(
        bucket=definition.upload.bucket,
        aws_conn_id=definition.upload.aws_connection,
        second_file_same_day=definition.upload.second_file_same_day,
        success_states=definition.wait.success_states,
        failure_states=definition.wait.failure_states,
        pending_states=definition.wait.pending_states,
        confirm_by=definition.wait.confirm_by,
        poke_interval=definition.wait.poll_seconds,
        processing_timeout=timedelta(hours=definition.wait.timeout_hours).total_seconds(),
        digital_audience_conn_id=definition.connection,
        **common,
    )


def wait(definition: DigitalAudienceDefinition, **common: Any) -> DigitalAudienceAudienceStateSensor:
    """The task that waits until the vendor has taken in the upload.

    :param common: the arguments that all platforms share, among them the output of the sending task.
    """
    return DigitalAudienceAudienceStateSensor(
        task_id="wait_until_ready",
        success_states=definition.wait.success_states,
        failure_states=definition.wait.failure_states,
        pending_states=definition.wait.pending_states,
        confirm_by=definition.wait.confirm_by,
        digital_audience_conn_id=definition.connection,
        **common,
    )
