"""DAG that retires an audience: inspect, ask for approval, delete the approved objects, record the retirement."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, AssetAlias, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from audience_onboarding.base.links import AudiencePageLink, with_links
from audience_onboarding.base.retirement import AudienceInventory
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.dag_ids import RESOLVE_CREATE_DAG_ID, RETIRE_DAG_ID
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import ConfigurationError
from audience_onboarding.pipelines.common import (
    audience_param,
    find_definition,
    flag_param,
    get_asset,
    persist_page_link,
    select_pool,
    shared_dag_arguments,
    snapshot_location,
)
from audience_onboarding.pipelines.task_docs import RETIREMENT, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.create_once import check_not_retired, pending_intent
from audience_onboarding.state.match_rates import rates_key
from audience_onboarding.state.snapshot_ledger import SnapshotLedger
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    LAST_LOAD_KEY,
    PENDING_LOADS_KEY,
    REOPENED_KEY,
    RETIRED_KEY,
    SNAPSHOTS_KEY,
    StateStore,
    get_state_store,
)

log = logging.getLogger(__name__)

INSPECT_TASK, APPROVE_TASK = "inspect", "approve"

RETIRE, REOPEN = "retire", "reopen"

RETIREMENTS = AssetAlias("audience/retirements")
"""Alias for the event of a retirement, which is added to the asset of the retired audience only."""

CLOSED_KEYS = (AUDIENCE_KEY, LAST_LOAD_KEY, SNAPSHOTS_KEY, PENDING_LOADS_KEY)
"""State-store keys that are cleared on every platform; the records of loads stay, as a history."""

DEFAULT_APPROVAL_HOURS = 72


class RetirementApprovalOperator(ApprovalOperator):
    """Ask a user to approve the deletion, within the time of the form.

    After a rejection, or without an answer in time, the later tasks are skipped. A dry run does not ask.
    """

    def execute(self, context: Any) -> Any:
        """Ask, and wait for the answer.

        :raises AirflowSkipException: it is a dry run.
        """
        params = context["params"]
        if params["dry_run"]:
            raise AirflowSkipException("Dry run: the log of 'inspect' lists the objects to delete")
        self.response_timeout = timedelta(hours=params["approve_within_hours"])
        return super().execute(context)


def build_retire_dag(definitions: Sequence[AudienceDefinition], *, base: Path) -> DAG:
    """Build the DAG that retires an audience, or reopens a retired one.

    :param definitions: all valid definitions.
    :param base: folder of relative paths.
    """
    by_key = {item.key: item for item in definitions}
    assets = [get_asset(item) for item in definitions]
    with DAG(
        dag_id=RETIRE_DAG_ID,
        dag_display_name="Retire an audience",
        description="Delete an audience and its segments after a user has approved it",
        schedule=None,
        params=_form(by_key),
        **shared_dag_arguments(_DOCUMENTATION, tag="privacy"),
    ) as dag:
        pool = select_pool(definitions)

        @task(task_id=INSPECT_TASK, inlets=assets, pool=pool, multiple_outputs=False)
        @fail_on_terminal_error
        def inspect() -> dict[str, Any]:
            """Return the objects to delete. Changes nothing."""
            context: Any = get_current_context()
            if context["params"]["action"] != RETIRE:
                raise AirflowSkipException(f"The action of the form is {REOPEN!r}")
            inspection = inspect_audience(_requested(by_key, context), context, others=by_key, base=base)
            log.info("%s", inspection["text"])
            return inspection

        approve = RetirementApprovalOperator(
            task_id=APPROVE_TASK,
            subject="Retire the audience {{ params.audience }}?",
            body=f"{{{{ ti.xcom_pull(task_ids='{INSPECT_TASK}')['text'] }}}}",
            # Reject if no user answers in time.
            defaults=ApprovalOperator.REJECT,
        )

        @task(inlets=assets, pool=pool, max_active_tis_per_dag=1, multiple_outputs=False)
        @fail_on_terminal_error
        def delete(inspection: dict[str, Any]) -> dict[str, Any]:
            """Delete exactly the approved objects."""
            context: Any = get_current_context()
            definition = _requested(by_key, context)
            store = get_state_store(context, get_asset(definition))
            done = get_platform(definition.platform).retirement.delete(
                definition,
                store,
                get_state_store(context, None),
                AudienceInventory.from_dict(inspection["seen"]),
            )
            log.info("%s", done)
            return {"done": done}

        @task(inlets=assets, outlets=[RETIREMENTS], multiple_outputs=False)
        @fail_on_terminal_error
        def record_retirement(inspection: dict[str, Any], deleted: dict[str, Any]) -> dict[str, Any]:
            """Store the retirement, and clear the other state of the audience."""
            context: Any = get_current_context()
            definition = _requested(by_key, context)
            record = write_retirement(definition, context, inspection, deleted, base=base)
            context["outlet_events"][RETIREMENTS].add(get_asset(definition), extra=record)
            return record

        @task(inlets=assets, multiple_outputs=False)
        @fail_on_terminal_error
        def reopen() -> dict[str, Any]:
            """Let the next load create the audience again."""
            context: Any = get_current_context()
            params = context["params"]
            if params["action"] != REOPEN:
                raise AirflowSkipException(f"The action of the form is {RETIRE!r}")
            return reopen_audience(_requested(by_key, context), context, is_dry_run=bool(params["dry_run"]))

        inspection: Any = with_links(inspect(), AudiencePageLink())
        deleted: Any = with_links(delete(inspection), AudiencePageLink())
        inspection >> approve >> deleted
        with_links(record_retirement(inspection, deleted), AudiencePageLink())
        with_links(reopen(), AudiencePageLink())
        set_task_docs(dag, RETIREMENT)
    return dag


def _requested(by_key: Mapping[str, AudienceDefinition], context: Any) -> AudienceDefinition:
    key = context["params"]["audience"]
    persist_page_link(context, key)
    return find_definition(by_key, key, dag_id=RETIRE_DAG_ID)


def inspect_audience(
    definition: AudienceDefinition, context: Any, *, others: Mapping[str, AudienceDefinition], base: Path
) -> dict[str, Any]:
    """Return the objects of an audience.

    :param others: all definitions.
    :return: ``seen`` (:class:`..base.retirement.AudienceInventory`), ``others`` (keys of definitions with the same
        audience), ``snapshots`` (their number), and all of it as ``text``.
    :raises AudienceRetiredError: it is already retired.
    :raises ConfigurationError: its create is ambiguous.
    """
    store = get_state_store(context, get_asset(definition))
    check_not_retired(store)
    if pending_intent(store.get(AUDIENCE_KEY)) is not None:
        raise ConfigurationError(
            what=f"The create of the audience {definition.key!r} is ambiguous",
            where=f"state store, key {AUDIENCE_KEY!r}",
            next_step=f"Nothing was deleted. Resolve the create with the DAG {RESOLVE_CREATE_DAG_ID!r}",
        )
    inventory = get_platform(definition.platform).retirement.inspect(definition, store)
    snapshots = len(SnapshotLedger(store, inventory.audience_id).urls())
    sharing = [
        item.key
        for item in others.values()
        if item.key != definition.key
        and (item.platform, item.conn_id) == (definition.platform, definition.conn_id)
        and inventory.audience_id is not None
        and str(_audience_id(item, context)) == str(inventory.audience_id)
    ]
    return {
        "seen": inventory.to_dict(),
        "others": sharing,
        "snapshots": snapshots,
        "text": _inspection_text(definition, inventory, sharing, snapshots, base),
    }


def _audience_id(definition: AudienceDefinition, context: Any) -> Any:
    if definition.id is not None:
        return definition.id
    record = get_state_store(context, get_asset(definition)).get(AUDIENCE_KEY)
    return record.get("id") if isinstance(record, dict) else None


def _inspection_text(
    definition: AudienceDefinition,
    inventory: AudienceInventory,
    sharing: Sequence[str],
    snapshots: int,
    base: Path,
) -> str:
    """Return Markdown, which the page of the approval shows."""
    lines = [f"**{definition.key}** on {definition.platform}, connection `{definition.conn_id}`"]
    if inventory.audience_id is None:
        lines.append("- The vendor has no audience yet: only its stored state is cleared.")
    elif not inventory.exists:
        lines.append(
            f"- The vendor has deleted or archived the audience {inventory.audience_id}: only its stored state is "
            "cleared."
        )
    else:
        members = "unknown" if inventory.members is None else f"{inventory.members:,}"
        lines += [
            f"- Audience **{inventory.name}**, id {inventory.audience_id}; members: {members}",
            f"- {inventory.consequence}",
            f"- Segments to delete: {len(inventory.segments) or 'none'}",
            *(f"    - {segment.label}" for segment in inventory.segments),
        ]
    if sharing:
        lines.append(f"- **These definitions use the same audience, and lose it**: {', '.join(sharing)}")
    lines.append(f"- Snapshots to delete: {snapshots or 'none'}")
    if definition.rejects is not None:
        folder = definition.rejects.folder(base, definition.key)
        lines.append(f"- Reject files stay (masked samples): {folder}")
    lines.append("- Later loads do not create it again, until a user reopens it.")
    return "\n".join(lines)


def write_retirement(
    definition: AudienceDefinition,
    context: Any,
    inspection: Mapping[str, Any],
    deleted: Mapping[str, Any],
    *,
    base: Path,
) -> dict[str, Any]:
    """Store the record of the retirement, and clear the other state. A repeated call changes nothing.

    :return: the record.
    """
    from audience_onboarding.storage.snapshot_files import delete_snapshot

    store: StateStore = get_state_store(context, get_asset(definition))
    inventory = AudienceInventory.from_dict(inspection["seen"])
    record = store.get(RETIRED_KEY)
    if not isinstance(record, dict) or record.get("run_id") != str(context["run_id"]):
        record = {
            "audience": definition.key,
            "platform": definition.platform,
            "at": datetime.now(timezone.utc).isoformat(),
            "by": getattr(context["dag_run"], "triggering_user_name", None) or "unknown",
            "approved_by": _approver(context["ti"]),
            "run_id": str(context["run_id"]),
            "audience_id": inventory.audience_id,
            "name": inventory.name or definition.name,
            "members": inventory.members,
            "segments": [{"id": item.id, "name": item.name} for item in inventory.segments],
            "snapshots": inspection["snapshots"],
            "done": deleted["done"],
            "manual_action": inventory.manual_action,
        }
        # First, so that no load creates the audience again after a later failure.
        store.set(RETIRED_KEY, record)
    snapshots = snapshot_location(definition, base)
    if snapshots is not None:
        for url in SnapshotLedger(store, inventory.audience_id).urls():
            delete_snapshot(url, s3_client=snapshots.client)
    platform_keys = get_platform(definition.platform).retirement.state_keys(definition, store)
    for key in (*CLOSED_KEYS, *map(rates_key, definition.modes), *platform_keys):
        store.delete(key)
    log.info("%s is retired: %s. Remove its definition", definition.key, deleted["done"])
    if inventory.manual_action and inventory.exists:
        log.warning("%s (audience %s, %r)", inventory.manual_action, inventory.audience_id, inventory.name)
    return record


def _approver(ti: Any) -> str:
    answer = ti.xcom_pull(task_ids=APPROVE_TASK)
    user = answer.get("responded_by_user") if isinstance(answer, dict) else None
    name = user.get("name") or user.get("id") if isinstance(user, dict) else None
    return str(name or "unknown")


def reopen_audience(definition: AudienceDefinition, context: Any, *, is_dry_run: bool) -> dict[str, Any]:
    """Delete the record of a retirement, so that the next load creates the audience again.

    :return: the deleted record.
    :raises ConfigurationError: it is not retired.
    """
    store = get_state_store(context, get_asset(definition))
    record = store.get(RETIRED_KEY)
    if not isinstance(record, dict):
        raise ConfigurationError(
            what=f"The audience {definition.key!r} is not retired",
            where=RETIRE_DAG_ID,
            next_step="Choose a retired audience",
        )
    if is_dry_run:
        log.info("Dry run: the record of the retirement of %s would be deleted: %s", definition.key, record)
        return record
    store.set(REOPENED_KEY, {"run_id": str(context["run_id"]), "at": datetime.now(timezone.utc).isoformat()})
    store.delete(RETIRED_KEY)
    log.info("The next load of %s creates the audience again. Deleted record: %s", definition.key, record)
    return record


def _form(by_key: Mapping[str, AudienceDefinition]) -> dict[str, Param]:
    return {
        "audience": audience_param(
            by_key.values(),
            "The run shows the objects to delete, and asks for approval before it deletes them.",
        ),
        "action": Param(
            RETIRE,
            type="string",
            enum=[RETIRE, REOPEN],
            values_display={
                RETIRE: "Retire: delete the audience and its segments",
                REOPEN: "Reopen: let the next load create it again",
            },
            title="Action",
            description_md="A retired audience is not loaded until it is reopened.",
        ),
        "approve_within_hours": Param(
            DEFAULT_APPROVAL_HOURS,
            type="integer",
            minimum=1,
            maximum=720,
            title="Approve within hours",
            description_md="Without an approval in this time, the deletion is rejected.",
            section="Approval",
        ),
        "dry_run": flag_param("Dry run", "Only inspect: do not ask for approval, and delete nothing."),
    }


_DOCUMENTATION = """\
### Retire an audience
`inspect` shows the audience, its members and its segments. `approve` asks a user (*Required actions* of the run).
`delete` deletes exactly the objects that `inspect` showed, segments first, and fails if they have changed.
`record_retirement` stores who retired and who approved it, and clears the other state. A later load fails with
`AudienceRetiredError`. Campaigns are never deleted.

Pause the audience's DAGs first, and remove its definition afterwards. To load a retired audience again, trigger this
DAG with the action *Reopen*.
"""
