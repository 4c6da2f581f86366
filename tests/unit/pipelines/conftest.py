"""Definitions to build DAGs from, and the plain functions of their tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG

from audience_onboarding.digital_audience.definition import DigitalAudienceDefinition
from tests.unit.definitions.conftest import GOOD, REMOVE, changed

__all__ = ["GOOD", "REMOVE", "changed", "definition", "function_of"]


def definition(key: str = "newsletter", **changes: Any) -> DigitalAudienceDefinition:
    """The good definition with changes."""
    return DigitalAudienceDefinition.model_validate({"key": key, **changed(**changes)})


def function_of(dag: DAG, task_id: str) -> Callable[..., Any]:
    """The Python function of a task."""
    found: Callable[..., Any] = dag.get_task(task_id).python_callable  # type: ignore[attr-defined]
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of definitions that the builders read: two good ones and a broken one."""
    path = tmp_path / "include" / "audiences"
    path.mkdir(parents=True)
    (path / "newsletter.yaml").write_text(yaml.safe_dump(GOOD), encoding="utf-8")
    (path / "quiet.yaml").write_text(yaml.safe_dump(changed(activation=REMOVE)), encoding="utf-8")
    (path / "broken.yaml").write_text("name: [", encoding="utf-8")
    monkeypatch.setenv("AUDIENCE_ONBOARDING_DEFINITIONS", str(path))
    return path
