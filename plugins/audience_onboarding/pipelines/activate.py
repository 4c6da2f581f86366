"""The activation DAG of an audience: for each target one segment, ensured and waited for."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param, PartitionedAssetTimetable

from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.digital_audience.operators import DigitalAudienceActivateAudienceOperator
from audience_onboarding.digital_audience.sensors import DigitalAudienceSegmentStatusSensor
from audience_onboarding.pipelines.common import (
    activation_dag_id,
    asset_of,
    default_args,
    onboarding_dag_id,
    pool_of,
    tags_of,
)


def build_activation_dag(definition: DigitalAudienceDefinition, *, auto_register: bool = True) -> DAG:
    """The DAG that activates one audience whenever a load of it is published, or by hand.

    :param definition: an audience with ``activation``.
    :param auto_register: whether Airflow takes the DAG for one of the file that is being parsed.
    """
    if definition.activation is None:
        raise ValueError(f"{definition.key} has no activation")
    asset = asset_of(definition)
    with DAG(
        dag_id=activation_dag_id(definition.key),
        auto_register=auto_register,
        dag_display_name=f"Activate: {definition.name}",
        description=f"Put the audience {definition.name!r} on its platform accounts",
        doc_md=_documentation(definition),
        tags=tags_of(definition, "activation"),
        default_args=default_args(
            owner=definition.owner,
            retries=definition.retries,
            retry_delay=timedelta(seconds=definition.retry_delay_seconds),
        ),
        schedule=PartitionedAssetTimetable(assets=asset),
        catchup=False,
        params={
            "days": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="Days",
                description_md="How long a segment that is created now runs. Empty: the definition's. A segment "
                "that is there already is left as it is.",
            ),
        },
    ) as dag:
        for target in definition.activation.targets:
            segment = DigitalAudienceActivateAudienceOperator(
                task_id=f"activate_{target.key}",
                segment_name=target.segment_name,
                description=target.description,
                audience_id=definition.id,
                account_id=target.account.id,
                platform=target.account.platform,
                account_name=target.account.name,
                days=f"{{{{ params.days or {target.days} }}}}",
                target=target.key,
                digital_audience_conn_id=definition.connection,
                asset=asset,
                # Two runs at once would both find no segment yet.
                max_active_tis_per_dag=1,
                pool=pool_of([definition]),
            )
            DigitalAudienceSegmentStatusSensor(
                task_id=f"wait_until_active_{target.key}",
                segment_id=segment.output,
                poke_interval=target.poll_seconds,
                timeout=timedelta(hours=target.timeout_hours).total_seconds(),
                digital_audience_conn_id=definition.connection,
            )
    return dag


def _documentation(definition: DigitalAudienceDefinition) -> str:
    return (
        f"Runs after each load that `{onboarding_dag_id(definition.key)}` publishes. A segment that is on the "
        "audience already, by name and account, is never created again."
    )
