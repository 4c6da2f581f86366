"""The airflow DAG that loads a range of days of any audience, merged in one load."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import load_date_range_dag

dag = load_date_range_dag(Path(__file__).resolve().parent.parent)
