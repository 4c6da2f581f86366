"""All DAGs of a folder of definitions: what the files under ``dags/`` call.

Each function imports its own builders: what a retirement needs, such as Airflow's approvals, takes longer to load than
all of an onboarding, and nobody else needs it.
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
    from audience_onboarding.pipelines.onboard import build_onboarding_dag

    built = [build_onboarding_dag(definition, base=folder.parent, auto_register=auto_register)]
    if isinstance(definition, DigitalAudienceDefinition) and definition.activation is not None:
        from audience_onboarding.pipelines.activate import build_activation_dag

        built.append(build_activation_dag(definition, auto_register=auto_register))
    return {dag.dag_id: dag for dag in built}


def maintenance_dags(project: Path) -> dict[str, DAG]:
    """The DAGs that extend end dates, by schedule and by hand, and the one that looks for drift, by id."""
    from audience_onboarding.pipelines.drift import build_drift_dag
    from audience_onboarding.pipelines.extension import build_extension_dag, build_set_end_date_dag

    definitions = _good(definitions_folder(project))
    with_segments = [item for item in definitions if isinstance(item, DigitalAudienceDefinition)]
    built = (
        build_extension_dag(with_segments),
        build_set_end_date_dag(with_segments),
        build_drift_dag(definitions),
    )
    return {dag.dag_id: dag for dag in built}


def resolve_ambiguous_create_dag(project: Path) -> DAG:
    """The DAG that settles unclear creations, of all definitions that are good."""
    from audience_onboarding.pipelines.resolve_create import build_resolve_create_dag

    return build_resolve_create_dag(_good(definitions_folder(project)))


def erase_dag(project: Path) -> DAG:
    """The DAG that takes people out of all audiences."""
    from audience_onboarding.pipelines.erase import build_erase_dag

    folder = definitions_folder(project)
    return build_erase_dag(_good(folder), base=folder.parent)


def retire_dag(project: Path) -> DAG:
    """The DAG that retires an audience."""
    from audience_onboarding.pipelines.retire import build_retire_dag

    folder = definitions_folder(project)
    return build_retire_dag(_good(folder), base=folder.parent)


def load_date_range_dag(project: Path) -> DAG:
    """The DAG that loads a range of days of any audience."""
    from audience_onboarding.pipelines.load_range import build_load_range_dag

    return build_load_range_dag(_good(definitions_folder(project)))


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


def _good(folder: Path, *, only: str | None = None) -> list[AudienceDefinition]:
    good = []
    # One alone is not compared with the others: a DAG that should not be there has no tasks that run.
    for item in read_definitions(folder, only=only):
        if not isinstance(item, InvalidDefinition):
            good.append(item)
        elif item.diagnostics:
            # A definition without diagnostics is invalid because of the defaults, which are reported once.
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
