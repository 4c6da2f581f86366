"""Shared parts of the DAG builders."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk import DAG, Param

from audience_onboarding.base.links import AudiencePageLink, base_url
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
from audience_onboarding.exceptions import AudienceRetiredError, ConfigurationError, TerminalError
from audience_onboarding.state.create_once import check_not_retired
from audience_onboarding.state.store import audience_asset, get_state_store
from audience_onboarding.urls import audiences_page

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

Definition = TypeVar("Definition", bound=AudienceDefinition)


def get_asset(definition: AudienceDefinition) -> Any:
    """Return the asset of the definition's audience."""
    return audience_asset(definition.platform, definition.key)


def is_retired(definition: AudienceDefinition, context: Any) -> bool:
    """Return whether the audience was retired; its definition may stay, and DAGs of all audiences skip it."""
    try:
        check_not_retired(get_state_store(context, get_asset(definition)))
    except AudienceRetiredError as error:
        log.info("Skipped %s: %s", definition.key, error.what)
        return True
    return False


def select_pool(definitions: Iterable[AudienceDefinition]) -> str:
    """Return the pool of a task for these definitions: the default pool if they have several connections."""
    connections = {definition.conn_id for definition in definitions}
    return connection_pool(connections.pop()) if len(connections) == 1 else DEFAULT_POOL


def finalize_dag(dag: DAG, fields: Mapping[str, Param]) -> DAG:
    """Set the trigger form of a DAG after its tasks were added, and drop empty templated fields of its tasks.

    Both speed up parsing, as there may be thousands of such DAGs. Airflow copies ``params`` that a DAG has earlier into
    each task and validates each copy several times, which is most of the parse time with nine fields. A running task
    reads the DAG's form anyway. The defaults are not validated here.
    """
    dag.params.update(fields)
    for task in dag.tasks:
        task.template_fields = tuple(
            name for name in task.template_fields if getattr(task, name, None) not in (None, {}, (), "")
        )
    return dag


def shared_dag_arguments(documentation: str, *, tag: str) -> dict[str, Any]:
    """Return the arguments of the DAGs that work for all audiences."""
    return {
        "doc_md": f"{documentation}\n[All audiences]({audiences_page(base_url=base_url())})\n",
        "tags": [PACKAGE_TAG, tag],
        "default_args": default_args(owner="audience-onboarding", retries=3),
        "catchup": False,
    }


def find_definition(
    by_key: Mapping[str, Definition],
    key: str,
    *,
    dag_id: str,
    error: type[TerminalError] = ConfigurationError,
    next_step: str = "Nothing was changed. Fix the definition, and trigger the DAG again",
) -> Definition:
    """Return the definition of an audience that the form had.

    :raises TerminalError: the definition was deleted or is invalid now; of the class ``error``.
    """
    if key in by_key:
        return by_key[key]
    raise error(
        what=f"The definition of the audience {key!r} is missing or invalid",
        where=dag_id,
        next_step=next_step,
    )


def audience_param(definitions: Iterable[AudienceDefinition], description: str) -> Param:
    """Return the required form field that selects one of these audiences."""
    labels = {
        item.key: f"{item.name} ({item.key}, {item.platform})"
        for item in sorted(definitions, key=lambda item: item.key)
    }
    return Param(
        type="string",
        **choices_schema(labels),
        values_display=labels,
        title="Audience",
        description_md=description,
    )


def optional_audience_param(keys: Iterable[str]) -> Param:
    """Return the form field that selects one audience, or all."""
    return Param(
        None,
        type=["null", "string"],
        enum=[None, *keys],
        title="Audience",
        description_md="Only this audience. Empty: all.",
    )


def flag_param(title: str, description: str, *, section: str | None = None) -> Param:
    """Return a form field for yes or no; the default is no."""
    schema: dict[str, Any] = {"title": title, "description_md": description}
    if section is not None:
        schema["section"] = section
    return Param(False, type="boolean", **schema)


def choices_schema(keys: Iterable[str]) -> dict[str, Any]:
    """Return the part of a form field that lists its choices."""
    # JSON Schema has no empty enum.
    choices = sorted(keys)
    return {"enum": choices} if choices else {"maxLength": 0}


def persist_page_link(context: Any, key: str) -> None:
    """Store the link from the running task to the page of its audience."""
    AudiencePageLink.persist(context.get("task"), key)


def format_table(rows: Sequence[Mapping[str, Any]], *, none: str) -> str:
    """Format rows with the same columns as text for a log.

    :param none: the text without rows.
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
    """Return the arguments of every task: retries after transient errors only, with exponential backoff."""
    return {
        "owner": owner,
        "retries": retries,
        "retry_delay": retry_delay,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(hours=1),
        "retry_policy": OnboardingRetryPolicy(),
    }


def snapshot_location(definition: AudienceDefinition, base: Path) -> SnapshotLocation | None:
    """Return the location of an audience's snapshots, if it has any.

    :param base: folder of relative paths.
    """
    if definition.snapshots is None:
        return None
    folder = definition.snapshots.folder(base, definition.key)
    return SnapshotLocation(
        folder, definition.snapshots.aws_conn_id or "aws_default", definition.snapshots.retain
    )


def dag_tags(definition: AudienceDefinition, *more: str) -> list[str]:
    """Return the tags of a definition's DAGs."""
    return sorted({PACKAGE_TAG, definition.platform, *definition.tags, *more})
