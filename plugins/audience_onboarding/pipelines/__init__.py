"""DAG builders: one onboarding and one activation DAG per definition; upkeep, history, erasure and retirement over all
of them."""

from __future__ import annotations

from audience_onboarding.pipelines.activate import build_activation_dag
from audience_onboarding.pipelines.dags import (
    audience_dags,
    check_definitions,
    erase_dag,
    history_dag,
    retire_dag,
    settle_dag,
    upkeep_dags,
)
from audience_onboarding.pipelines.drift import build_drift_dag
from audience_onboarding.pipelines.erase import build_erase_dag
from audience_onboarding.pipelines.extend import build_extension_dag, build_extension_form_dag
from audience_onboarding.pipelines.history import build_history_dag
from audience_onboarding.pipelines.onboard import build_onboarding_dag
from audience_onboarding.pipelines.retire import build_retire_dag
from audience_onboarding.pipelines.settle import build_settle_dag

__all__ = [
    "audience_dags",
    "build_activation_dag",
    "build_drift_dag",
    "build_erase_dag",
    "build_extension_dag",
    "build_extension_form_dag",
    "build_history_dag",
    "build_onboarding_dag",
    "build_retire_dag",
    "build_settle_dag",
    "check_definitions",
    "erase_dag",
    "history_dag",
    "retire_dag",
    "settle_dag",
    "upkeep_dags",
]
