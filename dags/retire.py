"""The airflow DAG that retires an audience, once a person has approved it."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import retire_dag

dag = retire_dag(Path(__file__).resolve().parent.parent)
