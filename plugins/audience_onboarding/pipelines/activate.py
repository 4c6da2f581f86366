"""Activation DAG of an audience: ensure one segment per target, and wait until it is active."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, PartitionedAssetTimetable, XComArg

from audience_onboarding.pipelines.common import (
    activation_dag_id,
    dag_tags,
    default_args,
    finalize_dag,
    flag_param,
    get_asset,
    onboarding_dag_id,
    select_pool,
)
from audience_onboarding.pipelines.dag_docs import links_of
from audience_onboarding.pipelines.task_docs import ACTIVATION as ACTIVATION_DOCS
from audience_onboarding.pipelines.task_docs import set_task_docs
from audience_onboarding.platforms.digital_audience.activation_targets import get_segment_naming
from audience_onboarding.platforms.digital_audience.definition import (
    ActivationTarget,
    DigitalAudienceDefinition,
)
from audience_onboarding.platforms.digital_audience.segment_operators import (
    ACTIVATION,
    DigitalAudienceActivateAudienceOperator,
)
from audience_onboarding.platforms.digital_audience.sensors import DigitalAudienceSegmentStatusSensor
from audience_onboarding.state.store import segment_asset


def build_activation_dag(definition: DigitalAudienceDefinition, *, auto_register: bool = True) -> DAG:
    """Build the DAG that activates one audience after each published load, or manually.

    :param definition: an audience with ``activation``.
    :param auto_register: whether Airflow registers the DAG for the file that it parses.
    """
    if definition.activation is None:
        raise ValueError(f"{definition.key} has no activation")
    asset = get_asset(definition)
    with DAG(
        dag_id=activation_dag_id(definition.key),
        auto_register=auto_register,
        dag_display_name=f"Activate: {definition.name}",
        description=f"Activate the audience {definition.name!r} on its platform accounts",
        doc_md=_documentation(definition),
        tags=dag_tags(definition, "activation"),
        default_args=default_args(
            owner=definition.owner,
            retries=definition.retries,
            retry_delay=timedelta(seconds=definition.retry_delay_seconds),
        ),
        schedule=PartitionedAssetTimetable(assets=asset),
        catchup=False,
    ) as dag:
        for target in definition.activation.targets:
            arguments = _segment_arguments(definition, target, asset)
            approved: Any = None
            if target.approval_rule is not None:
                # Imported here, as it loads modules that other DAGs do not need.
                from audience_onboarding.platforms.digital_audience.approval import (
                    DigitalAudienceApproveActivationOperator,
                )

                approved = DigitalAudienceApproveActivationOperator(
                    task_id=f"approve_{target.key}",
                    audience_name=definition.name,
                    rule=target.approval_rule,
                    **arguments,
                ).output
            segment = DigitalAudienceActivateAudienceOperator(
                task_id=f"activate_{target.key}",
                approval=approved,
                # Two concurrent runs would both find no segment.
                max_active_tis_per_dag=1,
                **arguments,
            )
            DigitalAudienceSegmentStatusSensor(
                task_id=f"wait_until_active_{target.key}",
                segment_id=segment.output,
                asset=segment_asset(definition.platform, definition.key, target.key),
                details=XComArg(segment, key=ACTIVATION),
                audience_key=definition.key,
                poke_interval=target.poll_interval_seconds,
                timeout=timedelta(hours=target.timeout_hours).total_seconds(),
                digital_audience_conn_id=definition.conn_id,
            )
        set_task_docs(dag, ACTIVATION_DOCS)
    return finalize_dag(dag, _form(definition))


def _segment_arguments(
    definition: DigitalAudienceDefinition, target: ActivationTarget, asset: Any
) -> dict[str, Any]:
    """Return the segment of a target, as arguments of the tasks that approve and create it."""
    until = target.end_of_last_day(definition.timezone)
    return {
        "segment_name": target.segment_name,
        "naming": get_segment_naming(definition, target),
        "description": target.description,
        "audience_id": definition.id,
        "account_id": target.account.id,
        "platform": target.account.platform,
        "account_name": target.account.name,
        "days": f"{{{{ params.days or {target.duration_days} }}}}",
        "until": until.isoformat() if until else None,
        # Of the load that triggered the run; never of the clock.
        "load_date": "{{ params.load_date or dag_run.partition_key or '' }}",
        "target": target.key,
        "digital_audience_conn_id": definition.conn_id,
        "asset": asset,
        "pool": select_pool([definition]),
    }


def _form(definition: DigitalAudienceDefinition) -> dict[str, Param]:
    targets = definition.activation.targets if definition.activation else ()
    form = {
        "load_date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Load date",
            description_md="Date of the load, if part of a segment's name. Empty: the partition key of the run.",
        ),
        "days": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Days",
            description_md="Duration of a segment that this run creates. Empty: the definition's. Existing segments "
            "are not changed.",
        ),
    }
    if any(target.approval_rule for target in targets):
        form["ask_again"] = flag_param("Ask again", "Ask again for a rejected approval.", section="Approval")
    return form


def _documentation(definition: DigitalAudienceDefinition) -> str:
    lines = [
        " · ".join(links_of(definition)),
        "",
        f"Runs after each load that `{onboarding_dag_id(definition.key)}` publishes. A segment that exists, by name "
        "and account, is never created again.",
        "",
        "| target | account | segment | days | until | approval |",
        "|---|---|---|---|---|---|",
    ]
    for target in definition.activation.targets if definition.activation else ():
        account = target.account
        label = account.id or " ".join(filter(None, (account.platform, account.name)))
        rule = target.approval_rule
        approval = f"yes, within {rule.timeout_hours:g} hours" if rule else "no"
        lines.append(
            f"| {target.key} | {label} | `{target.segment_name}` | {target.duration_days} | {target.until or ''} "
            f"| {approval} |"
        )
    return "\n".join(lines)
