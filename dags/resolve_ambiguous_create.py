"""The airflow DAG that resolves a create request whose outcome is unknown."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import resolve_ambiguous_create_dag

dag = resolve_ambiguous_create_dag(Path(__file__).resolve().parent.parent)
