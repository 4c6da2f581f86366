"""The airflow DAG with which a person settles a creation that ended without an answer."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import resolve_ambiguous_create_dag

dag = resolve_ambiguous_create_dag(Path(__file__).resolve().parent.parent)
