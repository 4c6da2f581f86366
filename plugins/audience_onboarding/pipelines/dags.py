"""All DAGs of a folder of definitions: what the files under ``dags/`` call."""

from __future__ import annotations

import logging
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from audience_onboarding.definitions import (
    AudienceDefinition,
    BrokenDefinition,
    definitions_folder,
    read_definitions,
)
from audience_onboarding.errors import DefinitionError
from audience_onboarding.pipelines.activate import build_activation_dag
from audience_onboarding.pipelines.common import activation_dag_id, onboarding_dag_id
from audience_onboarding.pipelines.extend import build_extension_dag
from audience_onboarding.pipelines.onboard import build_onboarding_dag

log = logging.getLogger(__name__)


def audience_dags(project: Path) -> dict[str, DAG]:
    """The onboarding and activation DAGs of all definitions, by id.

    A task that runs parses its DAG file again, but needs only its own DAG: only those of its audience are built then.

    :param project: the folder that holds ``dags/`` and ``include/``.
    """
    folder = definitions_folder(project)
    wanted = get_parsing_context().dag_id
    dags = {}
    for definition in _good(folder, only=_key_of(wanted)):
        try:
            dags.update(_dags_of(definition, folder))
        except Exception:
            # Anything: one definition must never take the DAGs of the others with it.
            log.exception("Skipping %s", definition.key)
    return dags


def _dags_of(definition: AudienceDefinition, folder: Path, *, auto_register: bool = True) -> dict[str, DAG]:
    built = [build_onboarding_dag(definition, base=folder.parent, auto_register=auto_register)]
    if definition.activation is not None:
        built.append(build_activation_dag(definition, auto_register=auto_register))
    return {dag.dag_id: dag for dag in built}


def upkeep_dag(project: Path) -> DAG:
    """The DAG that extends end dates, over all definitions."""
    return build_extension_dag(list(_good(definitions_folder(project))))


def check_definitions(project: Path) -> None:
    """Make broken definitions visible, from a DAG file of its own: Airflow shows the error, and all else works.

    :raises DefinitionError: names every broken file with its problems.
    """
    folder = definitions_folder(project)
    problems = []
    for item in read_definitions(folder):
        if isinstance(item, BrokenDefinition):
            problems.append(str(item.error))
            continue
        try:
            _dags_of(item, folder, auto_register=False)
        except Exception as error:
            problems.append(f"{item.key}: {type(error).__name__}: {error}")
    if problems:
        raise DefinitionError(
            what=f"{len(problems)} audience definitions are broken; their DAGs are missing",
            why=" | ".join(problems),
        )


def _good(folder: Path, *, only: str | None = None) -> list[AudienceDefinition]:
    good = []
    for item in read_definitions(folder, only=only):
        if isinstance(item, AudienceDefinition):
            good.append(item)
        else:
            log.error("Skipping %s: %s", item.path.name, item.error)
    return good


def _key_of(dag_id: str | None) -> str | None:
    """The key of the definition that a DAG is made from, ``None`` for all."""
    if dag_id is None:
        return None
    for prefix in (onboarding_dag_id(""), activation_dag_id("")):
        if dag_id.startswith(prefix):
            return dag_id.removeprefix(prefix)
    return None
