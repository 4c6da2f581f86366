"""The airflow DAGs that keep the segments of all audiences alive, and tell what differs from the definitions."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import maintenance_dags

globals().update(maintenance_dags(Path(__file__).resolve().parent.parent))
