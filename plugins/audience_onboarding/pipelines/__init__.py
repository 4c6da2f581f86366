"""DAG builders: an onboarding and an activation DAG per definition, and the DAGs of all audiences.

Each builder is imported at first use: Airflow parses the files under ``dags/`` often, and each imports only the modules
of its own DAGs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from audience_onboarding.pipelines.factory import (
    audience_dags,
    check_definitions,
    erase_dag,
    load_date_range_dag,
    maintenance_dags,
    resolve_ambiguous_create_dag,
    retire_dag,
)

if TYPE_CHECKING:
    from audience_onboarding.pipelines.activate import build_activation_dag
    from audience_onboarding.pipelines.drift import build_drift_dag
    from audience_onboarding.pipelines.erase import build_erase_dag
    from audience_onboarding.pipelines.extension import build_extension_dag, build_set_end_date_dag
    from audience_onboarding.pipelines.load_range import build_load_range_dag
    from audience_onboarding.pipelines.onboard import build_onboarding_dag
    from audience_onboarding.pipelines.resolve_create import build_resolve_create_dag
    from audience_onboarding.pipelines.retire import build_retire_dag

_BUILDERS = {
    "build_activation_dag": "activate",
    "build_drift_dag": "drift",
    "build_erase_dag": "erase",
    "build_extension_dag": "extension",
    "build_set_end_date_dag": "extension",
    "build_load_range_dag": "load_range",
    "build_onboarding_dag": "onboard",
    "build_retire_dag": "retire",
    "build_resolve_create_dag": "resolve_create",
}
"""Module of each builder."""

__all__ = [
    "audience_dags",
    "build_activation_dag",
    "build_drift_dag",
    "build_erase_dag",
    "build_extension_dag",
    "build_load_range_dag",
    "build_onboarding_dag",
    "build_resolve_create_dag",
    "build_retire_dag",
    "build_set_end_date_dag",
    "check_definitions",
    "erase_dag",
    "load_date_range_dag",
    "maintenance_dags",
    "resolve_ambiguous_create_dag",
    "retire_dag",
]


def __getattr__(name: str) -> Any:
    if name not in _BUILDERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_BUILDERS[name]}"), name)
