"""What the DAGs of the package have in common."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param

from audience_onboarding.base.links import AudiencePageLink
from audience_onboarding.base.pools import DEFAULT_POOL, connection_pool
from audience_onboarding.base.retry_policy import OnboardingRetryPolicy
from audience_onboarding.base.snapshot_diff import SnapshotLocation
from audience_onboarding.dag_ids import (
    DRIFT_DAG_ID,
    EXTENSION_DAG_ID,
    LOAD_RANGE_DAG_ID,
    SET_END_DATE_DAG_ID,
    activation_dag_id,
    onboarding_dag_id,
)
from audience_onboarding.definitions import AudienceDefinition
from audience_onboarding.exceptions import AudienceRetiredError
from audience_onboarding.state.create_once import check_not_retired
from audience_onboarding.state.store import audience_asset, get_state_store

log = logging.getLogger(__name__)

__all__ = [
    "DRIFT_DAG_ID",
    "EXTENSION_DAG_ID",
    "LOAD_RANGE_DAG_ID",
    "SET_END_DATE_DAG_ID",
    "activation_dag_id",
    "onboarding_dag_id",
]

PACKAGE_TAG = "audience-onboarding"


def get_asset(definition: AudienceDefinition) -> Any:
    """The asset that stands for the audience of a definition."""
    return audience_asset(definition.platform, definition.key)


def is_retired(definition: AudienceDefinition, context: Any) -> bool:
    """Whether the audience was retired. Its definition may stay for a while, and that is no problem of whoever looks
    after all of them."""
    try:
        check_not_retired(get_state_store(context, get_asset(definition)))
    except AudienceRetiredError as error:
        log.info("%s is left out: %s", definition.key, error.what)
        return True
    return False


def select_pool(definitions: Iterable[AudienceDefinition]) -> str:
    """The pool of a task that works for these definitions: Airflow's own where they have several connections, as a
    task has one pool."""
    connections = {definition.conn_id for definition in definitions}
    return connection_pool(connections.pop()) if len(connections) == 1 else DEFAULT_POOL


def finalize_dag(dag: DAG, fields: Mapping[str, Param]) -> DAG:
    """A DAG of an audience, of which there may be thousands, when its tasks are there.

    Gives it its trigger form. Airflow copies what a DAG has as ``params`` into each task that is added, and validates
    it with each several times when the DAG is parsed: with a form of nine fields that is most of the time which a DAG
    file takes. Where it runs, a task has the DAG's all the same. The defaults are not validated here.

    And lets no task render what is not there: each templated field costs something at each parsing and each run.
    """
    dag.params.update(fields)
    for task in dag.tasks:
        task.template_fields = tuple(
            name for name in task.template_fields if getattr(task, name, None) not in (None, {}, (), "")
        )
    return dag


def optional_audience_param(keys: Iterable[str]) -> Param:
    """The field of a form for one of these audiences, or all of them."""
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *keys],
        title="Audience",
        description_md="Only this one. Empty: all.",
    )


def choices_schema(keys: Iterable[str]) -> dict[str, Any]:
    """The part of a form's field that lists what may be chosen."""
    # JSON Schema has no list of choices without a choice.
    found = sorted(keys)
    return {"enum": found} if found else {"maxLength": 0}


def persist_page_link(context: Any, key: str) -> None:
    """Let the task of a function link to the page of the audience that its run is about."""
    AudiencePageLink.persist(context.get("task"), key)


def format_table(rows: Sequence[Mapping[str, Any]], *, none: str) -> str:
    """Rows as text, for a log.

    :param rows: all with the same columns.
    :param none: what to say where there are none.
    """
    if not rows:
        return none
    names = list(rows[0])
    lines = [names, *(["" if row[name] is None else str(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def default_args(
    *, owner: str, retries: int, retry_delay: timedelta = timedelta(minutes=1)
) -> dict[str, Any]:
    """Arguments of every task: retries that only follow errors which may go away, further and further apart."""
    return {
        "owner": owner,
        "retries": retries,
        "retry_delay": retry_delay,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(hours=1),
        "retry_policy": OnboardingRetryPolicy(),
    }


def snapshot_location(definition: AudienceDefinition, base: Path) -> SnapshotLocation | None:
    """Where the snapshots of an audience lie, ``None`` where it has none.

    :param base: what a relative path counts from.
    """
    if definition.snapshots is None:
        return None
    folder = definition.snapshots.folder(base, definition.key)
    return SnapshotLocation(
        folder, definition.snapshots.aws_conn_id or "aws_default", definition.snapshots.retain
    )


def dag_tags(definition: AudienceDefinition, *more: str) -> list[str]:
    """The tags of a definition's DAGs."""
    return sorted({PACKAGE_TAG, definition.platform, *definition.tags, *more})
