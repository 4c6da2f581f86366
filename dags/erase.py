"""The airflow DAG that removes a person from all audiences, by hashes."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import erase_dag

dag = erase_dag(Path(__file__).resolve().parent.parent)
