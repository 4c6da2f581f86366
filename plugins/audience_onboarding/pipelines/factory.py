"""DAGs of a folder of definitions; the files under ``dags/`` call these functions.

Each function imports its own builders: the imports of a retirement, such as Airflow's approvals, take longer than those
of an onboarding.
"""

from __future__ import annotations

import logging
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from audience_onboarding.definitions import (
    AudienceDefinition,
    Diagnostic,
    InvalidDefinition,
    definitions_folder,
    read_definitions,
)
from audience_onboarding.definitions.diagnostics import sort_diagnostics
from audience_onboarding.exceptions import DefinitionError
from audience_onboarding.pipelines.common import activation_dag_id, onboarding_dag_id
from audience_onboarding.platforms.digital_audience.definition import DigitalAudienceDefinition

log = logging.getLogger(__name__)


def audience_dags(project: Path) -> dict[str, DAG]:
    """Return the onboarding and activation DAGs of all definitions, by id.

    A running task parses its DAG file again: then only the DAGs of its audience are built.

    :param project: the folder with ``dags/`` and ``include/``.
    """
    folder = definitions_folder(project)
    dags = {}
    for definition in _valid_definitions(folder, only=_audience_key(get_parsing_context().dag_id)):
        try:
            dags.update(_dags_of(definition, folder))
        except Exception:
            # One definition must never break the DAGs of the others.
            log.exception("Skipping %s", definition.key)
    return dags


def _dags_of(definition: AudienceDefinition, folder: Path, *, auto_register: bool = True) -> dict[str, DAG]:
    from audience_onboarding.pipelines.onboard import build_onboarding_dag

    built = [build_onboarding_dag(definition, base=folder.parent, auto_register=auto_register)]
    if isinstance(definition, DigitalAudienceDefinition) and definition.activation is not None:
        from audience_onboarding.pipelines.activate import build_activation_dag

        built.append(build_activation_dag(definition, auto_register=auto_register))
    return {dag.dag_id: dag for dag in built}


def maintenance_dags(project: Path) -> dict[str, DAG]:
    """Return the DAGs that extend end dates, scheduled and manual, and the drift DAG, by id."""
    from audience_onboarding.pipelines.drift import build_drift_dag
    from audience_onboarding.pipelines.extension import build_extension_dag, build_set_end_date_dag

    definitions = _valid_definitions(definitions_folder(project))
    with_segments = [item for item in definitions if isinstance(item, DigitalAudienceDefinition)]
    built = (
        build_extension_dag(with_segments),
        build_set_end_date_dag(with_segments),
        build_drift_dag(definitions),
    )
    return {dag.dag_id: dag for dag in built}


def resolve_ambiguous_create_dag(project: Path) -> DAG:
    """Return the DAG that resolves ambiguous creates, of all valid definitions."""
    from audience_onboarding.pipelines.resolve_create import build_resolve_create_dag

    return build_resolve_create_dag(_valid_definitions(definitions_folder(project)))


def erase_dag(project: Path) -> DAG:
    """Return the DAG that erases people from all audiences."""
    from audience_onboarding.pipelines.erase import build_erase_dag

    folder = definitions_folder(project)
    return build_erase_dag(_valid_definitions(folder), base=folder.parent)


def retire_dag(project: Path) -> DAG:
    """Return the DAG that retires an audience."""
    from audience_onboarding.pipelines.retire import build_retire_dag

    folder = definitions_folder(project)
    return build_retire_dag(_valid_definitions(folder), base=folder.parent)


def load_date_range_dag(project: Path) -> DAG:
    """Return the DAG that loads a date range of an audience."""
    from audience_onboarding.pipelines.load_range import build_load_range_dag

    return build_load_range_dag(_valid_definitions(definitions_folder(project)))


def check_definitions(project: Path) -> None:
    """Raise an error about invalid definitions. It has a DAG file of its own, so that all other DAGs work.

    :raises DefinitionError: names every invalid file with its diagnostics.
    """
    folder = definitions_folder(project)
    invalid: set[Path] = set()
    diagnostics: list[Diagnostic] = []
    for item in read_definitions(folder):
        if isinstance(item, InvalidDefinition):
            invalid.add(item.path)
            diagnostics += item.diagnostics
            continue
        try:
            _dags_of(item, folder, auto_register=False)
        except Exception as error:
            invalid.add(folder / item.key)
            diagnostics.append(
                Diagnostic(f"{item.key}.yaml", None, None, "", message=f"{type(error).__name__}: {error}")
            )
    if invalid:
        failure = DefinitionError(
            what="1 audience definition is invalid; its DAGs are missing"
            if len(invalid) == 1
            else f"{len(invalid)} audience definitions are invalid; their DAGs are missing",
            diagnostics=sort_diagnostics(diagnostics),
        )
        failure.attach_help()
        raise failure


def _valid_definitions(folder: Path, *, only: str | None = None) -> list[AudienceDefinition]:
    valid = []
    # A single definition is not compared with the others: Airflow runs no task of a DAG that the full parse rejects.
    for item in read_definitions(folder, only=only):
        if not isinstance(item, InvalidDefinition):
            valid.append(item)
        elif item.diagnostics:
            # A definition without diagnostics is invalid because of the defaults, which are reported once.
            log.error("Skipping %s: %s", item.path.name, item.error)
    return valid


def _audience_key(dag_id: str | None) -> str | None:
    """Return the key of the definition of a DAG, ``None`` for all."""
    if dag_id is None:
        return None
    for prefix in (onboarding_dag_id(""), activation_dag_id("")):
        if dag_id.startswith(prefix):
            return dag_id.removeprefix(prefix)
    return None
