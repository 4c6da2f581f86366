"""One onboarding and one activation DAG per file in include/audiences."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import audience_dags

# Airflow looks for "dag" and "airflow" in a file's text before it takes the trouble to import it.
globals().update(audience_dags(Path(__file__).resolve().parent.parent))
