"""All DAGs of a folder of definitions: what the files under ``dags/`` call."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from airflow.sdk import DAG, get_parsing_context

from audience_onboarding.definitions import (
    AudienceDefinition,
    BrokenDefinition,
    definitions_folder,
    read_definitions,
)
from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from audience_onboarding.errors import DefinitionError
from audience_onboarding.pipelines.activate import build_activation_dag
from audience_onboarding.pipelines.common import activation_dag_id, onboarding_dag_id
from audience_onboarding.pipelines.extend import build_extension_dag
from audience_onboarding.pipelines.history import build_history_dag
from audience_onboarding.pipelines.onboard import build_onboarding_dag
from audience_onboarding.pipelines.settle import build_settle_dag

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
    if isinstance(definition, DigitalAudienceDefinition) and definition.activation is not None:
        built.append(build_activation_dag(definition, auto_register=auto_register))
    return {dag.dag_id: dag for dag in built}


def upkeep_dag(project: Path) -> DAG:
    """The DAG that extends end dates, over all definitions."""
    definitions = _good(definitions_folder(project))
    return build_extension_dag([item for item in definitions if isinstance(item, DigitalAudienceDefinition)])


def settle_dag(project: Path) -> DAG:
    """The DAG that settles unclear creations, of all definitions that are good."""
    return build_settle_dag(_good(definitions_folder(project)))


def history_dag(project: Path) -> DAG:
    """The DAG that loads a range of days of any audience."""
    return build_history_dag(_good(definitions_folder(project)))


def check_definitions(project: Path) -> None:
    """Make broken definitions visible, from a DAG file of its own: Airflow shows the error, and all else works.

    :raises DefinitionError: names every broken file with its problems.
    """
    folder = definitions_folder(project)
    problems = []
    for item in _all(folder):
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
    # One alone is not compared with the others: a DAG that should not be there has no tasks that run.
    for item in _all(folder) if only is None else read_definitions(folder, only=only):
        if isinstance(item, BrokenDefinition):
            log.error("Skipping %s: %s", item.path.name, item.error)
        else:
            good.append(item)
    return good


def _all(folder: Path) -> Iterator[AudienceDefinition | BrokenDefinition]:
    """All definitions; of several that would share one audience at the vendor, none is good."""
    items = list(read_definitions(folder))
    names = Counter(_name_at_vendor(item) for item in items if isinstance(item, AudienceDefinition))
    for item in items:
        name = _name_at_vendor(item) if isinstance(item, AudienceDefinition) else None
        if isinstance(item, AudienceDefinition) and name and names[name] > 1:
            error = DefinitionError(
                what=f"{item.key} is not the only definition of an audience called {item.name!r}",
                where=f"{item.platform}, connection {item.connection}",
                why="the audience is found by its name, so each would overwrite what the other has sent",
                next_step="Give each a name of its own",
            )
            yield BrokenDefinition(folder / f"{item.key}.yaml", error)
        else:
            yield item


def _name_at_vendor(definition: AudienceDefinition) -> tuple[str, str, str] | None:
    if not definition.found_by_name or definition.id is not None:
        return None
    return definition.platform, definition.connection, definition.name


def _key_of(dag_id: str | None) -> str | None:
    """The key of the definition that a DAG is made from, ``None`` for all."""
    if dag_id is None:
        return None
    for prefix in (onboarding_dag_id(""), activation_dag_id("")):
        if dag_id.startswith(prefix):
            return dag_id.removeprefix(prefix)
    return None
