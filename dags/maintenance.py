"""The airflow DAGs that extend the segments of all audiences, and report differences from the definitions."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import maintenance_dags

globals().update(maintenance_dags(Path(__file__).resolve().parent.parent))
