"""One onboarding and one activation DAG per file in include/audiences."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import audience_dags

# Airflow imports only files whose text contains "dag" and "airflow".
globals().update(audience_dags(Path(__file__).resolve().parent.parent))
