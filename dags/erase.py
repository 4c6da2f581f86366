"""The airflow DAG that takes people out of all audiences, by hashes."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import erase_dag

dag = erase_dag(Path(__file__).resolve().parent.parent)
