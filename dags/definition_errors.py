"""Reports invalid definitions as an import error of this file without a DAG; airflow keeps all other DAGs."""

from __future__ import annotations

from pathlib import Path

from audience_onboarding.pipelines import check_definitions

check_definitions(Path(__file__).resolve().parent.parent)
