"""DAG with which a user resolves an ambiguous create, in one action."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from audience_onboarding.base.links import AudiencePageLink, with_links
from audience_onboarding.base.pools import CREATE_POOL
from audience_onboarding.base.retry_policy import fail_on_terminal_error
from audience_onboarding.dag_ids import RESOLVE_CREATE_DAG_ID
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import NothingToResolveError
from audience_onboarding.pipelines.common import (
    audience_param,
    find_definition,
    flag_param,
    get_asset,
    persist_page_link,
    shared_dag_arguments,
)
from audience_onboarding.pipelines.task_docs import RESOLVE_CREATE, set_task_docs
from audience_onboarding.platform_registry import get_platform
from audience_onboarding.state.reconcile import OUTCOMES, PendingCreate, resolve_create
from audience_onboarding.state.store import get_state_store

log = logging.getLogger(__name__)

RESOLVE_TASK = "resolve"


@dataclass(frozen=True)
class _Audience:
    definition: AudienceDefinition
    asset: Any
    creates: dict[str, PendingCreate]


def build_resolve_create_dag(definitions: Sequence[AudienceDefinition]) -> DAG:
    """Build the DAG that resolves an ambiguous create of an audience.

    :param definitions: all valid definitions; one that fails here is skipped.
    """
    audiences = {item.key: entry for item in definitions if (entry := _audience(item)) is not None}
    assets = {
        asset.name: asset
        for audience in audiences.values()
        for asset in (audience.asset, *(create.asset for create in audience.creates.values()))
    }
    with DAG(
        dag_id=RESOLVE_CREATE_DAG_ID,
        dag_display_name="Resolve an ambiguous create",
        description="Record whether the vendor created an object after a request without an answer",
        schedule=None,
        max_active_runs=1,
        params=_form(audiences),
        **shared_dag_arguments(_DOCUMENTATION, tag="maintenance"),
    ) as dag:
        # In the pool of the creating tasks, of which one runs at a time.
        @task(task_id=RESOLVE_TASK, inlets=list(assets.values()), pool=CREATE_POOL, multiple_outputs=False)
        @fail_on_terminal_error
        def resolve() -> dict[str, Any]:
            """Resolve the create, and return the record: user, time, and the state before and after."""
            context: Any = get_current_context()
            params = context["params"]
            by_key = {key: audience.definition for key, audience in audiences.items()}
            key = find_definition(
                by_key, params["audience"], dag_id=RESOLVE_CREATE_DAG_ID, error=NothingToResolveError
            ).key
            persist_page_link(context, key)
            audience = audiences[key]
            create = _requested(audience, params["what"])
            resolution = resolve_create(
                create,
                store=get_state_store(context, create.asset),
                audience_store=get_state_store(context, audience.asset),
                outcome=params["outcome"],
                given_id=(params["id"] or "").strip() or None,
                accept_other_name=params["accept_other_name"],
                run_id=str(context["run_id"]),
                by=getattr(context["dag_run"], "triggering_user_name", None) or "unknown",
            )
            record = {"audience": key, **resolution}
            log.info(
                "%s resolved the %s of %s.\n  Before: %s\n  After:  %s\nClear the failed task",
                record["by"],
                record["what"],
                record["audience"],
                record["before"],
                record["after"] or "not created; the next run creates it",
            )
            return record

        with_links(resolve(), AudiencePageLink())
        set_task_docs(dag, RESOLVE_CREATE)
    return dag


def _audience(definition: AudienceDefinition) -> _Audience | None:
    try:
        asset = get_asset(definition)
        creates = get_platform(definition.platform).reconciliation.pending_creates(definition, asset)
    except Exception:
        # One definition must never block the resolution for another.
        log.exception("Skipped %s", definition.key)
        return None
    return _Audience(definition, asset, {create.what: create for create in creates})


def _requested(audience: _Audience, what: str) -> PendingCreate:
    if what in audience.creates:
        return audience.creates[what]
    objects = ", ".join(map(repr, audience.creates)) or "nothing: it contains all ids"
    raise NothingToResolveError(
        what=f"The audience {audience.definition.key!r} has no {what!r} to resolve",
        where=RESOLVE_CREATE_DAG_ID,
        why=f"its definition creates {objects}",
        next_step="Nothing was changed. Trigger the DAG again with the values in the message of the failed task",
    )


def _form(audiences: dict[str, _Audience]) -> dict[str, Param]:
    kinds = {"campaign", "audience"}
    targets = sorted({what for audience in audiences.values() for what in audience.creates} - kinds)
    return {
        "audience": audience_param(
            [audience.definition for audience in audiences.values()],
            "Audience with the ambiguous create. For a campaign that several audiences share, choose any of them.",
        ),
        "what": Param(
            type="string",
            enum=["campaign", "audience", *targets],
            title="Object",
            description_md="Object in the message of the failed task.",
        ),
        "outcome": Param(
            type="string",
            enum=list(OUTCOMES),
            values_display=dict(OUTCOMES),
            title="Resolution",
            description_md="Result of your check in the vendor's portal. Check carefully: if you declare *not created* "
            "and the object exists, the next run creates a duplicate.",
        ),
        "id": Param(
            None,
            type=["null", "string"],
            pattern="^[ ]*[A-Za-z0-9_-]{0,200}[ ]*$",
            title="Vendor id",
            description_md="Id of the object in the portal, if it exists.",
        ),
        "accept_other_name": flag_param(
            "Accept different name",
            "Accept the id although the vendor shows another name than the one that was sent, because it was renamed.",
            section="Exceptions",
        ),
    }


_DOCUMENTATION = """\
A create request ended without an answer, and its task failed with `AmbiguousCreateError`. Search for the object in the
vendor's portal, enter the result here, and clear the failed task.

Only an ambiguous create is ever changed. If the vendor's API can read the object, the task checks the id: it must exist
in the account of the connection, under the name that was sent.
"""
