"""The DAG with which a person settles an unclear creation, from the Airflow UI and in one action."""

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
    PACKAGE_TAG,
    choices_schema,
    default_args,
    get_asset,
    persist_page_link,
)
from audience_onboarding.pipelines.dag_docs import all_audiences
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
    things: dict[str, PendingCreate]


def build_resolve_create_dag(definitions: Sequence[AudienceDefinition]) -> DAG:
    """The DAG that settles an unclear creation of any audience, by hand only.

    :param definitions: all that are good; one that cannot be built is left out, and the others stay.
    """
    audiences = {item.key: found for item in definitions if (found := _audience(item)) is not None}
    assets = {
        asset.name: asset
        for audience in audiences.values()
        for asset in (audience.asset, *(thing.asset for thing in audience.things.values()))
    }
    with DAG(
        dag_id=RESOLVE_CREATE_DAG_ID,
        dag_display_name="Resolve an ambiguous create",
        description="Say what became of a creation at a vendor that ended without an answer",
        doc_md=f"{_DOCUMENTATION}\n{all_audiences()}\n",
        tags=[PACKAGE_TAG, "maintenance"],
        default_args=default_args(owner="audience-onboarding", retries=3),
        schedule=None,
        catchup=False,
        max_active_runs=1,
        params=_form(audiences),
    ) as dag:
        # In the pool of those who create: one of them at a time, and this is one.
        @task(task_id=RESOLVE_TASK, inlets=list(assets.values()), pool=CREATE_POOL, multiple_outputs=False)
        @fail_on_terminal_error
        def resolve() -> dict[str, Any]:
            """Settle it, and return who has settled what and when, with what was there and what is now."""
            context: Any = get_current_context()
            params = context["params"]
            audience = _known(audiences, params["audience"])
            persist_page_link(context, audience.definition.key)
            thing = _chosen(audience, params["what"])
            settled = resolve_create(
                thing,
                store=get_state_store(context, thing.asset),
                audience_store=get_state_store(context, audience.asset),
                outcome=params["outcome"],
                given_id=(params["id"] or "").strip() or None,
                accept_other_name=params["accept_other_name"],
                run_id=str(context["run_id"]),
                by=getattr(context["dag_run"], "triggering_user_name", None) or "unknown",
            )
            record = {"audience": audience.definition.key, **settled}
            log.info(
                "%s has settled the %s of %s.\n  It was: %s\n  It is:  %s\nNow clear the task that stopped",
                record["by"],
                record["what"],
                record["audience"],
                record["before"],
                record["after"] or "not created; the next try creates it",
            )
            return record

        with_links(resolve(), AudiencePageLink())
        set_task_docs(dag, RESOLVE_CREATE)
    return dag


def _audience(definition: AudienceDefinition) -> _Audience | None:
    try:
        asset = get_asset(definition)
        things = get_platform(definition.platform).reconciliation.pending_creates(definition, asset)
    except Exception:
        # Anything: one definition must never keep a person from settling another.
        log.exception("Leaving %s out", definition.key)
        return None
    return _Audience(definition, asset, {thing.what: thing for thing in things})


def _known(audiences: dict[str, _Audience], key: str) -> _Audience:
    if key in audiences:
        return audiences[key]
    # The form knew it a moment ago.
    raise NothingToResolveError(
        what=f"The definition of the audience {key!r} is gone or broken",
        where=RESOLVE_CREATE_DAG_ID,
        next_step="Nothing was changed. Mend the definition, then trigger the DAG again",
    )


def _chosen(audience: _Audience, what: str) -> PendingCreate:
    if what in audience.things:
        return audience.things[what]
    there = ", ".join(map(repr, audience.things)) or "nothing: its definition gives all ids"
    raise NothingToResolveError(
        what=f"The audience {audience.definition.key!r} has no {what!r} to settle",
        where=RESOLVE_CREATE_DAG_ID,
        why=f"what its definition creates is {there}",
        next_step="Nothing was changed. Trigger the DAG again with the values of the message that you have",
    )


def _form(audiences: dict[str, _Audience]) -> dict[str, Param]:
    kinds = {"campaign", "audience"}
    targets = sorted({what for audience in audiences.values() for what in audience.things} - kinds)
    return {
        "audience": Param(
            type="string",
            **choices_schema(audiences),
            values_display={
                key: f"{audience.definition.name} ({key}, {audience.definition.platform})"
                for key, audience in sorted(audiences.items())
            },
            title="Audience",
            description_md="Whose creation is unclear. A campaign that several audiences share is settled with any "
            "of them.",
        ),
        "what": Param(
            type="string",
            enum=["campaign", "audience", *targets],
            title="Object",
            description_md="What was to be created, as the message of the stopped task says.",
        ),
        "outcome": Param(
            type="string",
            enum=list(OUTCOMES),
            values_display=dict(OUTCOMES),
            title="Resolution",
            description_md="What the vendor's portal shows. Look closely: what is declared not created although it "
            "was, is there twice after the next try.",
        ),
        "id": Param(
            None,
            type=["null", "string"],
            pattern="^[ ]*[A-Za-z0-9_-]{0,200}[ ]*$",
            title="Vendor id",
            description_md="The id that the portal shows, if it was found.",
        ),
        "accept_other_name": Param(
            False,
            type="boolean",
            title="Accept different name",
            description_md="Take the id although the vendor shows another name than the one that was sent: it was "
            "renamed since.",
            section="Exceptions",
        ),
    }


_DOCUMENTATION = """\
A request that creates something ended without an answer, and its task stopped with `AmbiguousCreateError`. Look for it
in the vendor's portal, say here what you found, then clear the task that stopped.

Only what is unclear is ever changed. Where the vendor can be asked, it is: the id has to be there, in the account of
the connection, under the name that was sent.
"""
