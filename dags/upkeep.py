"""The airflow DAG that keeps the segments of all audiences alive."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import upkeep_dag

dag = upkeep_dag(Path(__file__).resolve().parent.parent)
