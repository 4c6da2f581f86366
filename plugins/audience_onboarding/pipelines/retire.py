"""The DAG that retires an audience: looks, asks a person, deletes what was shown, and closes what is remembered."""

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
    PACKAGE_TAG,
    choices_schema,
    default_args,
    get_asset,
    persist_page_link,
    select_pool,
    snapshot_location,
)
from audience_onboarding.pipelines.dag_docs import all_audiences
from audience_onboarding.pipelines.task_docs import RETIREMENT, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.create_once import check_not_retired, pending_intent
from audience_onboarding.state.match_rates import rates_key
from audience_onboarding.state.snapshot_ledger import SnapshotLedger
from audience_onboarding.state.store import (
    AUDIENCE_KEY,
    LAST_LOAD_KEY,
    PENDING_LOADS_KEY,
    RETIRED_KEY,
    SNAPSHOTS_KEY,
    StateStore,
    get_state_store,
)

log = logging.getLogger(__name__)

INSPECT_TASK, APPROVE_TASK, DELETE_TASK, RECORD_RETIREMENT_TASK, REOPEN_TASK = (
    "inspect",
    "approve",
    "delete",
    "record_retirement",
    "reopen",
)

RETIRE, REOPEN = "retire", "reopen"

RETIREMENTS = AssetAlias("audience/retirements")
"""Under which the event of a retirement is published: only for the audience that it is about."""

CLOSED_KEYS = (AUDIENCE_KEY, LAST_LOAD_KEY, SNAPSHOTS_KEY, PENDING_LOADS_KEY)
"""What is forgotten on every platform; the records of single loads stay, as a history."""

USUAL_HOURS = 72


class RetirementApprovalOperator(ApprovalOperator):
    """Ask a person whether what was looked at is to be deleted, within the time that the form gives.

    Rejected, or not answered in time: everything after it is skipped. A dry run asks nobody.
    """

    def execute(self, context: Any) -> Any:
        """Ask, and wait.

        :raises AirflowSkipException: it is a dry run.
        """
        params = context["params"]
        if params["dry_run"]:
            raise AirflowSkipException(
                "Dry run: what would be deleted is in the log of 'inspect'; nobody is asked"
            )
        self.response_timeout = timedelta(hours=params["approve_within_hours"])
        return super().execute(context)


def build_retire_dag(definitions: Sequence[AudienceDefinition], *, base: Path) -> DAG:
    """The DAG that retires an audience of any definition, by hand only, or opens one again.

    :param definitions: all that are good.
    :param base: what a relative path of theirs counts from.
    """
    by_key = {item.key: item for item in definitions}
    assets = [get_asset(item) for item in definitions]
    with DAG(
        dag_id=RETIRE_DAG_ID,
        dag_display_name="Retire an audience",
        description="Delete an audience and its segments, once a person has approved it",
        doc_md=f"{_DOCUMENTATION}\n{all_audiences()}\n",
        tags=[PACKAGE_TAG, "privacy"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule=None,
        catchup=False,
        params=_form(by_key),
    ) as dag:
        pool = select_pool(definitions)

        @task(task_id=INSPECT_TASK, inlets=assets, pool=pool, multiple_outputs=False)
        @fail_on_terminal_error
        def look() -> dict[str, Any]:
            """What would be deleted, for the person who approves it. Changes nothing."""
            context: Any = get_current_context()
            if context["params"]["action"] != RETIRE:
                raise AirflowSkipException("The audience is to be opened again")
            definition = _chosen(by_key, context)
            shown = inspect_audience(definition, context, others=by_key, base=base)
            log.info("%s", shown["text"])
            return shown

        approve = RetirementApprovalOperator(
            task_id=APPROVE_TASK,
            subject="Retire the audience {{ params.audience }}?",
            body=f"{{{{ ti.xcom_pull(task_ids='{INSPECT_TASK}')['text'] }}}}",
            # What nobody answers in time is not approved.
            defaults=ApprovalOperator.REJECT,
        )

        @task(task_id=DELETE_TASK, inlets=assets, pool=pool, max_active_tis_per_dag=1, multiple_outputs=False)
        @fail_on_terminal_error
        def delete(shown: dict[str, Any]) -> dict[str, Any]:
            """Delete exactly what was approved."""
            context: Any = get_current_context()
            definition = _chosen(by_key, context)
            store = get_state_store(context, get_asset(definition))
            done = get_platform(definition.platform).retirement.delete(
                definition, store, get_state_store(context, None), AudienceInventory.from_dict(shown["seen"])
            )
            log.info("%s", done)
            return {"done": done}

        @task(task_id=RECORD_RETIREMENT_TASK, inlets=assets, outlets=[RETIREMENTS], multiple_outputs=False)
        @fail_on_terminal_error
        def close(shown: dict[str, Any], deleted: dict[str, Any]) -> dict[str, Any]:
            """Write down the retirement, and forget the rest."""
            context: Any = get_current_context()
            definition = _chosen(by_key, context)
            record = write_retirement(definition, context, shown, deleted, base=base)
            context["outlet_events"][RETIREMENTS].add(get_asset(definition), extra=record)
            return record

        @task(task_id=REOPEN_TASK, inlets=assets, multiple_outputs=False)
        @fail_on_terminal_error
        def reopen() -> dict[str, Any]:
            """Let the next load begin anew."""
            context: Any = get_current_context()
            params = context["params"]
            if params["action"] != REOPEN:
                raise AirflowSkipException("The audience is to be retired")
            return reopen_audience(_chosen(by_key, context), context, is_dry_run=bool(params["dry_run"]))

        shown: Any = with_links(look(), AudiencePageLink())
        gone: Any = with_links(delete(shown), AudiencePageLink())
        shown >> approve >> gone
        with_links(close(shown, gone), AudiencePageLink())
        with_links(reopen(), AudiencePageLink())
        set_task_docs(dag, RETIREMENT)
    return dag


def _chosen(by_key: Mapping[str, AudienceDefinition], context: Any) -> AudienceDefinition:
    key = context["params"]["audience"]
    persist_page_link(context, key)
    if key in by_key:
        return by_key[key]
    # The form knew it a moment ago.
    raise ConfigurationError(
        what=f"The definition of the audience {key!r} is gone or broken",
        where=RETIRE_DAG_ID,
        next_step="Nothing was deleted. Mend the definition, then trigger the DAG again",
    )


def inspect_audience(
    definition: AudienceDefinition, context: Any, *, others: Mapping[str, AudienceDefinition], base: Path
) -> dict[str, Any]:
    """What there is of an audience.

    :param others: all definitions.
    :return: ``seen`` (:class:`..base.retirement.AudienceInventory`), ``others``, ``snapshots``, and its ``text``.
    :raises AudienceRetiredError: it is retired already.
    :raises ConfigurationError: it is unclear whether it was created.
    """
    store = get_state_store(context, get_asset(definition))
    check_not_retired(store)
    if pending_intent(store.get(AUDIENCE_KEY)) is not None:
        raise ConfigurationError(
            what=f"It is not clear whether the audience {definition.key!r} was created",
            where=f"state store, key {AUDIENCE_KEY!r}",
            next_step=f"Settle that first, with the DAG {RESOLVE_CREATE_DAG_ID!r}. Nothing was deleted",
        )
    seen: AudienceInventory = get_platform(definition.platform).retirement.inspect(definition, store)
    ledger = SnapshotLedger(store, seen.audience_id)
    same = [
        item.key
        for item in others.values()
        if item.key != definition.key
        and (item.platform, item.conn_id) == (definition.platform, definition.conn_id)
        and seen.audience_id is not None
        and str(_id_of(item, context)) == str(seen.audience_id)
    ]
    found = {"seen": seen.to_dict(), "others": same, "snapshots": len(ledger.urls())}
    return {**found, "text": _words(definition, seen, same, len(ledger.urls()), base)}


def _id_of(definition: AudienceDefinition, context: Any) -> Any:
    if definition.id is not None:
        return definition.id
    record = get_state_store(context, get_asset(definition)).get(AUDIENCE_KEY)
    return record.get("id") if isinstance(record, dict) else None


def _words(
    definition: AudienceDefinition, seen: AudienceInventory, same: Sequence[str], snapshots: int, base: Path
) -> str:
    """In Markdown, which the page of the approval shows."""
    lines = [f"**{definition.key}** on {definition.platform}, connection `{definition.conn_id}`"]
    if seen.audience_id is None:
        lines.append(
            "- There is no audience at the vendor yet: only what is remembered of it here is closed."
        )
    elif not seen.exists:
        lines.append(
            f"- The vendor does not know the audience {seen.audience_id} any more, or has it archived: only what is "
            "remembered of it here is closed."
        )
    else:
        members = "not known" if seen.members is None else f"{seen.members:,}"
        lines += [
            f"- Audience **{seen.name}**, id {seen.audience_id}; members: {members}",
            f"- {seen.consequence}",
            f"- Segments that are deleted with it: {len(seen.segments) or 'none'}",
            *(f"    - {segment.label}" for segment in seen.segments),
        ]
    if same:
        lines.append(f"- **These definitions use the same audience, and lose it**: {', '.join(same)}")
    lines.append(f"- Snapshots that are deleted: {snapshots or 'none'}")
    if definition.rejects is not None:
        folder = definition.rejects.folder(base, definition.key)
        lines.append(f"- Lists of rejects stay (masked samples): {folder}")
    lines.append("- Afterwards, no load creates it again, until somebody opens it again on purpose.")
    return "\n".join(lines)


def write_retirement(
    definition: AudienceDefinition,
    context: Any,
    shown: Mapping[str, Any],
    deleted: Mapping[str, Any],
    *,
    base: Path,
) -> dict[str, Any]:
    """Write the record of the retirement, then forget the rest. To do so again changes nothing.

    :return: the record.
    """
    from audience_onboarding.storage.snapshot_files import delete_snapshot

    store: StateStore = get_state_store(context, get_asset(definition))
    seen = AudienceInventory.from_dict(shown["seen"])
    record = store.get(RETIRED_KEY)
    if not isinstance(record, dict) or record.get("run_id") != str(context["run_id"]):
        record = {
            "audience": definition.key,
            "platform": definition.platform,
            "at": datetime.now(timezone.utc).isoformat(),
            "by": getattr(context["dag_run"], "triggering_user_name", None) or "unknown",
            "approved_by": _approver(context["ti"]),
            "run_id": str(context["run_id"]),
            "audience_id": seen.audience_id,
            "name": seen.name or definition.name,
            "members": seen.members,
            "segments": [{"id": item.id, "name": item.name} for item in seen.segments],
            "snapshots": shown["snapshots"],
            "done": deleted["done"],
            "manual_action": seen.manual_action,
        }
        # First of all: whatever happens from here on, no load creates it again.
        store.set(RETIRED_KEY, record)
    state = snapshot_location(definition, base)
    if state is not None:
        for url in SnapshotLedger(store, seen.audience_id).urls():
            delete_snapshot(url, s3_client=state.client)
    of_platform = get_platform(definition.platform).retirement.state_keys(definition, store)
    for key in (*CLOSED_KEYS, *map(rates_key, definition.modes), *of_platform):
        store.delete(key)
    log.info("%s is retired: %s. Now remove its definition", definition.key, deleted["done"])
    if seen.manual_action and seen.exists:
        log.warning("%s (audience %s, %r)", seen.manual_action, seen.audience_id, seen.name)
    return record


def _approver(ti: Any) -> str:
    answer = ti.xcom_pull(task_ids=APPROVE_TASK)
    user = answer.get("responded_by_user") if isinstance(answer, dict) else None
    name = user.get("name") or user.get("id") if isinstance(user, dict) else None
    return str(name or "unknown")


def reopen_audience(definition: AudienceDefinition, context: Any, *, is_dry_run: bool) -> dict[str, Any]:
    """Forget the retirement of an audience, so that the next load begins anew.

    :return: the record that is forgotten.
    :raises ConfigurationError: it is not retired.
    """
    store = get_state_store(context, get_asset(definition))
    record = store.get(RETIRED_KEY)
    if not isinstance(record, dict):
        raise ConfigurationError(
            what=f"The audience {definition.key!r} is not retired",
            where=RETIRE_DAG_ID,
            next_step="There is nothing to open again",
        )
    if is_dry_run:
        log.info("Dry run: the retirement of %s would be forgotten: %s", definition.key, record)
        return record
    store.delete(RETIRED_KEY)
    log.info("The next load of %s begins anew. It was: %s", definition.key, record)
    return record


def _form(by_key: Mapping[str, AudienceDefinition]) -> dict[str, Param]:
    return {
        "audience": Param(
            type="string",
            **choices_schema(by_key),
            values_display={
                key: f"{item.name} ({key}, {item.platform})" for key, item in sorted(by_key.items())
            },
            title="Audience",
            description_md="What would be deleted is shown, and asked about, before anything is.",
        ),
        "action": Param(
            RETIRE,
            type="string",
            enum=[RETIRE, REOPEN],
            values_display={
                RETIRE: "Retire: delete the audience and its segments",
                REOPEN: "Reopen: let the next load create it anew",
            },
            title="Action",
            description_md="What is retired is not loaded any more, until it is reopened.",
        ),
        "approve_within_hours": Param(
            USUAL_HOURS,
            type="integer",
            minimum=1,
            maximum=720,
            title="Approve within hours",
            description_md="What nobody approves in this time is rejected.",
            section="Approval",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description_md="Only look: nobody is asked, and nothing is deleted.",
        ),
    }


_DOCUMENTATION = """\
### Retire an audience
`inspect` shows what there is: audience, members, segments. `approve` asks a person (*Required actions* of the run).
`delete` deletes exactly the objects that `inspect` showed, segments first, and fails if there are others by then.
`record_retirement` stores who retired and who approved it, and clears the rest. A load afterwards stops with
`AudienceRetiredError`. Campaigns are never deleted.

Pause the audience's own DAGs first, and remove its definition afterwards. To begin anew with a retired audience,
trigger this DAG with the action *Reopen*.
"""
